#pragma once
#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/broker/docker/spec.h"

namespace dirbox::docker {

/// The body of `dirbox __docker`: reads its orders from `control` (control.h; taken over), gives up
/// what confine.h lists, and serves until the supervisor is gone. Returns the exit status: 0 after
/// an orderly end, 125 when it could not start. Never falls back to less confinement.
int run_filter(int control);

}  // namespace dirbox::docker
