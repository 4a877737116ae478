#pragma once
#include <optional>
#include <string>

#include "launcher/base/result.h"
#include "launcher/plan/resolver.h"

/// Work trees whose `.git` is a file: linked worktrees (gitrepository-layout(5)) and submodules.
namespace dirbox::plan {

struct Worktree {
  std::string git_dir;     ///< where the gitfile leads, without symlinks
  std::string common_dir;  ///< what all worktrees of the repository share; git_dir of a submodule
  std::string main;        ///< the main work tree, or the bare repository
  bool linked = false;     ///< by git-worktree(1); else a submodule
};

/// Where the gitfile of `project` leads, whatever is there; nullopt without a gitfile.
std::optional<Resolver::Resolution> find_gitfile_target(Resolver& resolver,
                                                        const std::string& project);

/// What the gitfile of `project` leads to; nullopt where its `.git` is none. The other side must
/// point back, as only git or its user can have written it there: worktrees/ID/gitdir names the
/// gitfile, core.worktree of a submodule names `project`. An Error otherwise: a repository can ship
/// a gitfile that names any directory.
Result<std::optional<Worktree>> find_worktree(Resolver& resolver, const std::string& project);

/// The git directory of `project` where that is a directory, `project` itself where it is a bare
/// repository; nullopt for neither.
std::optional<std::string> find_repository(Resolver& resolver, const std::string& project);

/// The gitfile that `admin` (COMMON/worktrees/ID) names; nullopt where none is there.
std::optional<Resolver::Resolution> find_backlink(Resolver& resolver, const std::string& admin);

/// PROJECT-worktrees beside `project`, where swarm makes worktrees; nullopt where it is missing or
/// not the project's: it is when it is empty, or holds a linked worktree of the project and none of
/// another one.
std::optional<std::string> find_worktree_parent(Resolver& resolver, const std::string& project);

}  // namespace dirbox::plan
