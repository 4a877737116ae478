#pragma once
#include <string>
#include <vector>

#include "launcher/plan/paths.h"

/// Where a program that lives under the home keeps what it needs to run.
namespace dirbox::plan {

/// The first executable file `name` in `search_path`; `name` itself, made absolute with `cwd`, when
/// it has a slash. Empty when there is none; `found_not_executable` says whether one was there.
std::string find_program(Resolver& resolver, const std::string& name, std::string_view search_path,
                         const std::string& cwd, bool& found_not_executable);

/// Grants the install tree of the program at `path`, of its interpreter (`#!`), and of both behind
/// their symlinks. Nothing is added for what a rule already shows.
void grant_install_tree(RuleSet& rules, Resolver& resolver, const std::string& path,
                        std::string_view search_path, const std::string& home);

/// Grants the directories of PATH that lie under `home`, with the install trees of what their
/// symlinks lead to.
void grant_path_directories(RuleSet& rules, Resolver& resolver, std::string_view search_path,
                            const std::string& home);

}  // namespace dirbox::plan
