#pragma once
#include <sys/types.h>

#include <string_view>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/spec.h"

namespace dirbox::sandbox {

/// A sandbox that is being built or runs. Closing `control` ends it.
struct Sandbox {
  pid_t pid = -1;    ///< init, as the host sees it
  UniqueFd control;  ///< see control.h
};

/// Names of the namespaces that a test build can leave out (RunOptions::test_skip).
std::vector<std::string_view> list_namespaces();

/// Clones init into new user, mount, pid, ipc, uts, cgroup and (unless the Spec shares the host's)
/// network namespaces in one clone3(2). Everything further is reported over `control`.
/// Errors: the clone itself, with what usually forbids it.
Result<Sandbox> spawn_sandbox(const Spec& spec, const RunOptions& options);

/// Init sets up meanwhile, and starts the command only after this.
Result<void> let_command_start(const Sandbox& sandbox);

}  // namespace dirbox::sandbox
