#pragma once
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/spec.h"

/// Landlock as the second layer behind the mounts (landlock(7)): the same Plan says what may be
/// read and written, by inode instead of by mount.
namespace dirbox::sandbox {

/// ABI of the running kernel (1…), or an Error where Landlock is absent or switched off.
Result<int> check_landlock_abi();

/// One of the descriptors 0-2 that is a regular file: what its open mode allows may be had again by
/// reopening it through /proc/self/fd, and nothing more.
struct LandlockFile {
  int fd;
  bool read, write;
};

/// A ruleset that handles every right of `abi`. Paths are opened in this process's root.
Result<UniqueFd> make_landlock_ruleset(int abi, const std::vector<LandlockRule>& rules,
                                       const std::vector<LandlockFile>& files);

/// Restricts this process and all it will start. Needs no_new_privs.
Result<void> enter_landlock(int ruleset);

}  // namespace dirbox::sandbox
