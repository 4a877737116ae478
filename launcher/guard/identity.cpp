#include "launcher/guard/identity.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace dirbox::guard {

std::optional<Identity> identify(int directory, const char* path) {
  constexpr std::int64_t kSecond = 1'000'000'000;  // ns
  struct statx status {};
  if (::statx(directory, path, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_INO | STATX_BTIME, &status) != 0) {
    return std::nullopt;
  }
  Identity out;
  out.device = std::uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor;
  out.inode = status.stx_ino;
  if ((status.stx_mask & STATX_BTIME) != 0)
    out.born = status.stx_btime.tv_sec * kSecond + status.stx_btime.tv_nsec;
  return out;
}

}  // namespace dirbox::guard
