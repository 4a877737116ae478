#include "launcher/supervise/host_path.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <iterator>

namespace dirbox::supervise {
namespace {

constexpr int kMostLinks = 40;  // as the kernel (path_resolution(7))
constexpr long kMountsOnLookup[] = {AUTOFS_SUPER_MAGIC, AFS_SUPER_MAGIC, AFS_FS_MAGIC};

bool mounts_on_lookup(long type) {
  return std::find(std::begin(kMountsOnLookup), std::end(kMountsOnLookup), type) !=
         std::end(kMountsOnLookup);
}

UniqueFd refuse(int err) {
  errno = err;
  return UniqueFd();
}

}  // namespace

UniqueFd open_on_host(const std::string& path, LastLink last) {
  // The last component of an open with O_PATH is the mount point, not what would be mounted there.
  constexpr int kFlags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd at(::open("/", kFlags));
  std::string rest = path;
  for (int links = 0; at.valid() && !rest.empty();) {
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string name = rest.substr(0, end);
    rest.erase(0, end);
    rest.erase(0, rest.find_first_not_of('/'));
    if (name.empty() || name == ".") continue;
    struct statfs system {};
    if (::fstatfs(at.get(), &system) != 0 || mounts_on_lookup(system.f_type)) return refuse(ENOENT);
    UniqueFd next(::openat(at.get(), name.c_str(), kFlags));
    struct stat st {};
    if (!next.valid() || ::fstat(next.get(), &st) != 0) return UniqueFd();
    const bool is_last = rest.empty() && last == LastLink::opened;
    if (!S_ISLNK(st.st_mode) || is_last) {
      at = std::move(next);
      continue;
    }
    // Those of /proc speak of this process, or are no text.
    if (system.f_type == PROC_SUPER_MAGIC) return refuse(ENOENT);
    char text[PATH_MAX];
    const ssize_t size = ::readlinkat(next.get(), "", text, sizeof text);
    if (size <= 0 || ++links > kMostLinks) return refuse(ELOOP);
    if (text[0] == '/') at.reset(::open("/", kFlags));
    rest = std::string(text, static_cast<std::size_t>(size)) + "/" + rest;
  }
  return at;
}

}  // namespace dirbox::supervise
