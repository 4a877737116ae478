#include <fcntl.h>
#include <sys/stat.h>

#include "launcher/guard/guard.h"

// The part of the guard that looks at all that it knows: where there are no events, or were too
// many, and at the end.

namespace dirbox::guard {
namespace {

/// Whether no entry of the directory has been made, renamed or removed since its watch began: the
/// kernel sets its ctime then, and nobody can set it back. A symlink on the way leads to another
/// directory, or to this one.
bool is_unchanged(int tree, const GuardNode& node, const struct timespec& started) {
  struct stat status {};
  const std::string path = node.path.empty() ? "." : node.path;
  return ::fstatat(tree, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(status.st_mode) && status.st_dev == node.device && status.st_ino == node.inode &&
         status.st_ctim.tv_sec == node.changed.tv_sec &&
         status.st_ctim.tv_nsec == node.changed.tv_nsec && !is_since(status.st_ctim, started);
}

}  // namespace

/// The names that were in the directory before.
void Guard::look_at_known(const Node& node) {
  const std::string prefix = full_path(node.tree, node.path) + "/";
  std::vector<std::string> names;
  for (auto at = before_.lower_bound(prefix); at != before_.end(); ++at) {
    if (!at->first.starts_with(prefix)) break;
    std::string name = at->first.substr(prefix.size());
    if (name.find('/') == name.npos) names.push_back(std::move(name));
  }
  if (names.empty()) return;
  UniqueFd directory = open_place(node.tree, node.path);
  if (!directory.valid()) return;
  for (const std::string& name : names) look(node, directory.get(), name);
}

/// What gitfiles lead to can have changed since, and what was not there yet has to be by the end.
void Guard::look_at_gitfiles() {
  for (const auto& [node, name] : std::exchange(gitfiles_, {})) {
    UniqueFd directory = open_place(node.tree, node.path);
    if (directory.valid()) look(node, directory.get(), name);
  }
}

/// Every name in every directory that is watched, and every name that was there before.
void Guard::look_at_all() {
  look_at_led();
  std::vector<Node> nodes;
  for (const auto& [wd, node] : nodes_) {
    if (node.folder != nullptr) nodes.push_back(node);
  }
  for (const Node& known : nodes) {
    if (is_unchanged(trees_[known.tree].get(), known, started_)) {
      look_at_known(known);
      continue;
    }
    UniqueFd directory = open_place(known.tree, known.path);
    if (!directory.valid()) continue;
    const Folder* folder = folder_at(known.tree, known.path, directory.get());
    if (folder == nullptr) continue;
    const Node node{known.tree, known.path, folder, 0, 0, {}};
    asked_.reset();
    bool every =
        !held_.empty() || folder->no_links || indirect_.is_way(full_path(node.tree, node.path));
    for (const NameRule& rule : folder->names) {
      every |= is_pattern(rule);
      if (!is_pattern(rule)) look(node, directory.get(), std::string(rule.name));
    }
    for (const FolderRule& rule : folder->folders) {
      if (rule.name != "*") look(node, directory.get(), std::string(rule.name));
    }
    if (!every) continue;
    for (const auto& [name, is_directory] : list_entries(directory.get(), SIZE_MAX).entries) {
      if (!is_directory) look(node, directory.get(), name);
    }
  }
}

}  // namespace dirbox::guard
