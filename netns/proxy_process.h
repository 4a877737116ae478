#pragma once

namespace dirbox::netns {

/// The body of `dirbox __proxy`: reads its orders from `control` (proxy_control.h; taken over),
/// gives up what confine.h lists, and serves until it is told to finish or the supervisor is gone.
/// Returns the exit status: 0 after an orderly end, 125 when it could not start. Never falls back
/// to less confinement.
int run_proxy(int control);

}  // namespace dirbox::netns
