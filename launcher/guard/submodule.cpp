#include "launcher/guard/submodule.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "launcher/base/path.h"
#include "launcher/guard/entry.h"
#include "launcher/guard/guard.h"
#include "launcher/guard/table.h"

namespace dirbox::guard {
namespace {

/// Whether the `.git` in a directory is that of the submodule, or there is none.
bool leads_back(int directory, const std::string& worktree, const std::string& git) {
  constexpr std::string_view kMark = "gitdir: ";
  const auto entry = look_at(directory, ".git");
  if (!entry) return true;
  if (!S_ISREG(entry->status.st_mode) || !entry->text) return false;
  std::string_view target = *entry->text;
  // git writes it in place.
  if (target.empty()) return true;
  if (!target.starts_with(kMark)) return false;
  target.remove_prefix(kMark.size());
  target = target.substr(0, target.find_last_not_of("\r\n") + 1);
  return path_normalize(path_join(worktree, target)) == git;
}

}  // namespace

bool is_submodule_tree(const std::string& git, const std::string& worktree,
                       const std::string& tree) {
  if (git.find("/modules/") == git.npos || path_is_beneath(git, worktree) ||
      !path_is_beneath(worktree, tree) || is_special(tree_folder(), path_name(tree))) {
    return false;
  }
  std::string at = tree;
  const auto names = path_components(path_relative(worktree, tree));
  for (auto name = names.begin();; ++name) {
    const UniqueFd directory = open_straight(at, O_PATH | O_DIRECTORY);
    // It is made after it was named.
    const bool absent = !directory.valid() && errno == ENOENT;
    if ((!directory.valid() && !absent) || (!absent && is_git_directory(directory.get())))
      return false;
    if (name == names.end()) return absent || leads_back(directory.get(), worktree, git);
    if (is_special(tree_folder(), *name)) return false;
    at = path_join(at, *name);
  }
}

/// Whether a work tree that a git directory names is that of a submodule, within what the sandbox
/// may write anyway.
Inside Guard::path_to_tree(const Node& node) const {
  return [this, here = full_path(node.tree, node.path)](std::string_view worktree) {
    const std::string path = path_normalize(path_join(here, worktree));
    return !indirect_.leads_beneath(path) &&
           std::any_of(spec_.trees.begin(), spec_.trees.end(), [&](const std::string& tree) {
             return is_submodule_tree(here, path, tree);
           });
  };
}

}  // namespace dirbox::guard
