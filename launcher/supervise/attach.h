#pragma once
#include <string>
#include <vector>

#include "launcher/base/result.h"

namespace dirbox::supervise {

/// Runs `argv` (empty: what the session says) in the running sandbox of `session`, with this
/// process's terminal relayed through one inside, and what else is on descriptors 0-2 passed.
/// Blocks until it has ended. SIGHUP and SIGTERM end only this side, and hang up the other.
/// Returns the exit status, 128+n for a signal, 126/127 where exec failed. An Error: nothing ran;
/// ENOENT: there is no such session, or nothing can be attached to it.
Result<int> attach_to(const std::string& session, const std::vector<std::string>& argv);

}  // namespace dirbox::supervise
