#pragma once
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/landlock.h"
#include "launcher/sandbox/spec.h"

/// The descriptors 0-2 that the command inherits from the caller.
namespace dirbox::sandbox {

/// Checks and, where it must, replaces the descriptors that pass through. Runs in init while host
/// paths still resolve.
///
/// A descriptor must not give more than the mode it was passed with, also not by reopening
/// /proc/self/fd/N. A regular file open for reading is reopened on a read-only mount of its own, at
/// the same offset. One open for writing keeps its open file description, because a shell shares
/// the offset with what it runs next (`{ dirbox …; echo; } > file`); reopening that one is
/// Landlock's to refuse, and `landlock` false makes it an error.
/// A device like /dev/null is reopened likewise when the command's uid owns it, as root does:
/// through the host's mount its mode could be changed. Refused: directories, block devices, O_PATH
/// descriptors. What is closed becomes /dev/null. Returns what Landlock shall allow.
Result<std::vector<LandlockFile>> apply_stdio(const StdioKind (&kinds)[3], bool landlock);

/// The same refusals for a descriptor that arrives later; a regular file only with `landlock`,
/// which refuses to reopen it; and none to be read where there are `guarded` trees, in which a
/// reopening through the caller's own mount could write.
Result<void> check_passed(int fd, bool landlock, bool guarded);
/// Inside: /dev/null and its kin become the sandbox's, for the reason above.
Result<void> replace_by_own_device(UniqueFd& fd);

}  // namespace dirbox::sandbox
