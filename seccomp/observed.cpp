#include "seccomp/observed.h"

#include <fcntl.h>

#include <cerrno>

namespace dirbox::seccomp {
namespace {

constexpr Test any_of(std::uint8_t arg, std::uint64_t bits) {
  return {arg, false, Op::ne, bits, 0};
}

constexpr Observe kWrites = Observe::writes, kReads = Observe::reads;

/// O_TRUNC without write access is undefined, and O_TMPFILE needs it. openat2 keeps its flags
/// behind a pointer.
constexpr Observed kObserved[] = {
    {"open", kWrites, false, any_of(1, O_ACCMODE | O_CREAT)},
    {"open", kReads, true},
    {"openat", kWrites, false, any_of(2, O_ACCMODE | O_CREAT)},
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
    {"connect", kWrites, true},
    {"execve", kReads, true},
    {"execveat", kReads, true},
};

}  // namespace

std::span<const Observed> observed_calls() { return kObserved; }

bool is_denial_observed(int err) { return err != ENOSYS; }

}  // namespace dirbox::seccomp
