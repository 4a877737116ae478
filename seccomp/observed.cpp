#include "seccomp/observed.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace dirbox::seccomp {
namespace {

constexpr Test any_of(std::uint8_t arg, std::uint64_t bits) {
  return {arg, false, Op::ne, bits, 0};
}

constexpr Observe kWrites = Observe::writes, kReads = Observe::reads;

/// O_TMPFILE needs write access; O_TRUNC, which truncates without it, does not. openat2 keeps its
/// flags behind a pointer.
constexpr Observed kObserved[] = {
    {"open", kWrites, false, any_of(1, O_ACCMODE | O_CREAT | O_TRUNC)},
    {"open", kReads, true},
    {"openat", kWrites, false, any_of(2, O_ACCMODE | O_CREAT | O_TRUNC)},
    {"openat", kReads, true},
    {"openat2", kWrites, true},
    {"creat", kWrites, true},
    {"truncate", kWrites, true},
    {"mkdir", kWrites, true},
    {"mkdirat", kWrites, true},
    {"mknod", kWrites, true},
    {"mknodat", kWrites, true},
    {"link", kWrites, true},
    {"linkat", kWrites, true},
    {"symlink", kWrites, true},
    {"symlinkat", kWrites, true},
    {"rename", kWrites, true},
    {"renameat", kWrites, true},
    {"renameat2", kWrites, true},
    {"unlink", kWrites, true},
    {"unlinkat", kWrites, true},
    {"rmdir", kWrites, true},
    {"chmod", kWrites, true},
    {"fchmod", kWrites, true},
    {"fchmodat", kWrites, true},
    {"fchmodat2", kWrites, true},
    // "system.posix_acl_access" is another way to change a mode.
    {"setxattr", kWrites, true},
    {"lsetxattr", kWrites, true},
    {"fsetxattr", kWrites, true},
    {"setxattrat", kWrites, true},
    {"bind", kWrites, true},
    {"connect", kWrites, true},
    {"execve", kReads, true},
    {"execveat", kReads, true},
};

constexpr Enforced kEnforced[] = {
    {"open", false, any_of(1, O_ACCMODE)},
    {"open", false, any_of(1, O_CREAT)},
    {"openat", false, any_of(2, O_ACCMODE)},
    {"openat", false, any_of(2, O_CREAT)},
    {"openat2", true},
    {"creat", true},
    {"truncate", true},
    {"mkdir", true},
    {"mkdirat", true},
    {"mknod", true},
    {"mknodat", true},
    {"link", true},
    {"linkat", true},
    {"symlink", true},
    {"symlinkat", true},
    {"rename", true},
    {"renameat", true},
    {"renameat2", true},
    {"unlink", true},
    {"unlinkat", true},
    {"rmdir", true},
    {"chmod", true},
    {"fchmodat", true},
    {"fchmodat2", true},
    {"chown", true},
    {"lchown", true},
    {"fchownat", true},
    {"utime", true},
    {"utimes", true},
    {"futimesat", true},
    {"utimensat", true},
    {"setxattr", true},
    {"lsetxattr", true},
    {"removexattr", true},
    {"lremovexattr", true},
    {"access", false, any_of(1, W_OK)},
    {"faccessat", false, any_of(2, W_OK)},
    {"faccessat2", false, any_of(2, W_OK)},
};

}  // namespace

std::span<const Observed> observed_calls() { return kObserved; }

std::span<const Enforced> enforced_calls() { return kEnforced; }

bool is_denial_observed(int err) { return err != ENOSYS; }

}  // namespace dirbox::seccomp
