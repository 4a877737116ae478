#include "launcher/guard/file_time.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "launcher/base/unique_fd.h"

namespace dirbox::guard {
namespace {

/// The largest unit, in ns, in which such a fraction of a second is kept by a file system that has
/// no finer one: FAT's two seconds, exFAT's 10 ms. A finer unit passes before anything runs inside.
std::int64_t unit_of(long fraction) {
  constexpr long kTenMilliseconds = 10'000'000;
  if (fraction == 0) return 2'000'000'000;
  return fraction % kTenMilliseconds == 0 ? kTenMilliseconds : 0;
}

}  // namespace

// Since Linux 6.13 a file that has been looked at since its last change gets the exact time of the
// next one, and no file an earlier time from then on; others get the time of the last tick
// (Documentation/filesystems/multigrain-ts.rst). Neither clock of clock_gettime(2) says where files
// are.
Result<struct timespec> file_time() {
  constexpr const char* kDoing = "tell the time of files";
  const UniqueFd file(::memfd_create("dirbox-time", MFD_CLOEXEC));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0 || ::fchmod(file.get(), 0600) != 0 ||
      ::fstat(file.get(), &status) != 0) {
    return fail_errno(kDoing, "");
  }
  return status.st_ctim;
}

bool is_since(const struct timespec& changed, const struct timespec& moment) {
  return in_ns(changed) + unit_of(changed.tv_nsec) >= in_ns(moment);
}

std::int64_t now_in_ns() {
  struct timespec now {};
  return ::clock_gettime(CLOCK_REALTIME, &now) == 0 ? in_ns(now) : 0;
}

}  // namespace dirbox::guard
