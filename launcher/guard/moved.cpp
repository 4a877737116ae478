#include <sys/stat.h>

#include "launcher/base/path.h"
#include "launcher/guard/guard.h"

// Whether a directory of a kind of its own stands where it stood when the sandbox began.

namespace dirbox::guard {
/// Of one directory. Its name came into the directory above it, which the times of both tell; what
/// makes a git directory of one with any name came into itself.
bool Guard::was_moved(std::size_t tree, const std::string& path, int directory,
                      const Folder& folder) {
  const std::string full = full_path(tree, path);
  if (familiar_.is_stranger(full)) return true;
  struct stat status {};
  if (::fstat(directory, &status) != 0) return true;
  if (!is_since(status.st_ctim, started_) || familiar_.knows(full, directory)) return false;
  const bool by_content =
      &folder == &git_folder() && !is_special(tree_folder(), std::string(path_name(path)));
  const std::string parent = parent_in_tree(path);
  if (!by_content &&
      ::fstatat(trees_[tree].get(), parent.empty() ? "." : parent.c_str(), &status, 0) == 0 &&
      !is_since(status.st_ctim, started_)) {
    return false;
  }
  familiar_.add_stranger(full);
  return true;
}

/// Whether what stood in the directory before is the user's only by its times: itself, or one above
/// it that gives it its kind, may have come there since the start. Directories of no kind of their
/// own mean the same everywhere.
bool Guard::is_strange(std::size_t tree, const std::string& path) {
  if (spec_.mode == Mode::enforce) return false;  // the writer refuses such renames
  if (asked_ && path == asked_->path && tree == asked_->tree) return asked_->made;
  bool strange = false;
  for (std::string at = path; !at.empty() && !strange; at = parent_in_tree(at)) {
    UniqueFd directory = open_place(tree, at);
    if (!directory.valid()) break;
    const Folder* folder = folder_at(tree, at, directory.get());
    if (folder == nullptr || folder == &tree_folder()) break;
    strange = was_moved(tree, at, directory.get(), *folder);
  }
  asked_ = Place{tree, path, strange};
  return strange;
}

/// The directory has been looked at. Whether it was strange may be asked about what is in it later,
/// when it is known.
void Guard::note_place(const Place& place, int directory, const Folder& folder) {
  if (&folder == &tree_folder()) return familiar_.forget(full_path(place.tree, place.path));
  is_strange(place.tree, place.path);
  // Of what is late nothing there was is anybody's for sure: git keeps no such thing in it.
  if (!folder.late) familiar_.note(full_path(place.tree, place.path), directory, true);
}

}  // namespace dirbox::guard
