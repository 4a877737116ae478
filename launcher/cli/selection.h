#pragma once
#include <string>

#include "launcher/base/result.h"
#include "launcher/plan/host.h"

/// Which profile a directory gets.
namespace dirbox::cli {

struct Chosen {
  std::string profile;
  std::string why;  ///< "asked for", "/home/u/.config/dirbox/projects.toml:3:1: /home/u/work"
};

/// `asked` where it is not empty; else what projects.toml says of the working directory; else
/// director. A linked worktree with no entry of its own gets what its main work tree gets. An entry
/// whose name a symlink leads elsewhere counts there as well.
/// Errors: those of profiles::parse_selections and decide_selection.
/// Opens one file, and nothing else where that is missing.
Result<Chosen> choose_profile(const std::string& asked, const plan::HostFacts& facts);

/// The path of projects.toml; "" without a home.
std::string selection_path();
/// Its text; "" where there is none.
Result<std::string> read_selections();

}  // namespace dirbox::cli
