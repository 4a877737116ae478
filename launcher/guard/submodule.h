#pragma once
#include <string>

/// Where git checks a submodule out.
namespace dirbox::guard {

/// Whether `git`, a git directory, is that of a submodule, for which git itself sets core.worktree,
/// and `worktree` is a directory for one, or not there yet: nothing on the way to it from `tree` is
/// a symlink, a git directory or of a kind of its own, it is not above `git`, and a `.git` in it
/// leads to `git`. All are absolute and normalized.
bool is_submodule_tree(const std::string& git, const std::string& worktree,
                       const std::string& tree);

}  // namespace dirbox::guard
