#include "launcher/guard/tree_locks.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "launcher/base/path.h"

namespace dirbox::guard {
namespace {

struct flock bytes(short type, off_t first, off_t count) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = first;
  lock.l_len = count;
  return lock;
}

bool lock_byte(int fd, off_t byte) {
  struct flock lock = bytes(F_RDLCK, byte, 1);
  return ::fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/// False also where the file system does not say.
bool is_free(int fd, off_t first, off_t count) {
  struct flock lock = bytes(F_WRLCK, first, count);
  return ::fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

UniqueFd open_directory(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

}  // namespace

void TreeLocks::mark(const std::string& path) {
  UniqueFd& tree = trees_[path] = open_directory(path);
  known_ &= tree.valid() && lock_byte(tree.get(), kHere);
  for (std::string at = path_parent(path); at != "/"; at = path_parent(at)) {
    if (above_.contains(at)) break;
    UniqueFd directory = open_directory(at);
    // What cannot be read cannot be marked by anybody of this user.
    if (!directory.valid() && errno == EACCES) continue;
    known_ &= directory.valid() && lock_byte(directory.get(), kBelow);
    above_[at] = std::move(directory);
  }
}

bool TreeLocks::are_alone(std::string_view path) const {
  const auto tree = std::find_if(trees_.begin(), trees_.end(),
                                 [&](const auto& one) { return path_is_beneath(path, one.first); });
  return known_ && tree != trees_.end() && is_free(tree->second.get(), kHere, kBelow - kHere + 1) &&
         std::all_of(above_.begin(), above_.end(), [&](const auto& above) {
           return !path_is_beneath(path, above.first) || is_free(above.second.get(), kHere, 1);
         });
}

std::set<std::string> TreeLocks::alone_in() const {
  std::set<std::string> out;
  for (const auto& [path, fd] : trees_) {
    if (are_alone(path)) out.insert(path);
  }
  return out;
}

}  // namespace dirbox::guard
