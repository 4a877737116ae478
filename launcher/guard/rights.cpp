#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "launcher/guard/guard.h"

// A directory that the sandbox made unreadable, or read-only, for its owner, who is this process's
// user as well: what is in it can be executed all the same.

namespace dirbox::guard {
namespace {

constexpr mode_t kToLook = 0500, kToChange = 0700;

/// `directory` may be open as a path only. True where something changed.
bool add_rights(int directory, const struct stat& status, mode_t rights) {
  if (status.st_uid != ::geteuid() || (status.st_mode & rights) == rights) return false;
  const std::string link = fmt::format("/proc/self/fd/{}", directory);
  return ::chmod(link.c_str(), (status.st_mode & 07777) | rights) == 0;
}

}  // namespace

/// Gives back the rights to look into `path` and the directories above it, of a tree, where they
/// were taken away since the start.
bool Guard::add_rights_to_look(std::size_t tree, std::string_view path) const {
  UniqueFd at(::fcntl(trees_[tree].get(), F_DUPFD_CLOEXEC, 0));
  bool changed = false;
  for (;;) {
    struct stat status {};
    if (!at.valid() || ::fstat(at.get(), &status) != 0 || !S_ISDIR(status.st_mode)) return changed;
    if (is_since(status.st_ctim, started_)) changed |= add_rights(at.get(), status, kToLook);
    if (path.empty()) return changed;
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string name(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
    at.reset(::openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
}

/// undo_entry(), also in a directory that is read-only.
Result<void> Guard::undo_with_rights(int directory, const std::function<Result<void>()>& undo) {
  auto done = undo();
  struct stat status {};
  if (done || done.error().err != EACCES || ::fstat(directory, &status) != 0 ||
      !add_rights(directory, status, kToChange)) {
    return done;
  }
  done = undo();
  if (::fchmod(directory, status.st_mode & 07777) != 0)
    complain("guard: a directory was read-only and is no more");
  return done;
}

}  // namespace dirbox::guard
