#include "launcher/cli/selection.h"

#include <fmt/format.h>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/cli/run_options.h"
#include "launcher/plan/paths.h"
#include "launcher/plan/worktree.h"
#include "profiles/load.h"
#include "profiles/selection.h"
#include "profiles/toml_reader.h"

namespace dirbox::cli {
namespace {

constexpr const char* kDefault = "director";

std::string reason(const profiles::Selection& selection, std::string_view more) {
  return fmt::format("{}: {}{}", selection.origin.text(), escape_for_terminal(selection.directory),
                     more);
}

/// The entry for the main work tree, where `project` is a linked one that no entry at or beneath it
/// names. A forged gitfile inherits nothing; that it is forged the compiler of the plan says.
const profiles::Selection* find_inherited(const std::vector<profiles::Selection>& selections,
                                          const profiles::Selection* own, plan::Resolver& resolver,
                                          const std::string& project) {
  if (own != nullptr && path_is_beneath(own->directory, project)) return nullptr;
  auto worktree = plan::find_worktree(resolver, project);
  if (!worktree || !*worktree || !(*worktree)->linked) return nullptr;
  return profiles::decide_selection(selections, (*worktree)->main);
}

}  // namespace

std::string selection_path() {
  const std::string directory = config_directory();
  return directory.empty() ? "" : path_join(directory, profiles::kSelectionFile);
}

Result<std::string> read_selections() {
  const std::string path = selection_path();
  if (path.empty()) return std::string();
  const auto text = TRY(profiles::read_settings(path));
  return text.value_or(std::string());
}

Result<Chosen> choose_profile(const std::string& asked, const plan::HostFacts& facts) {
  if (!asked.empty()) return Chosen{asked, "asked for"};
  const std::string text = TRY(read_selections());
  if (text.empty()) return Chosen{kDefault, "the default"};
  const auto selections =
      TRY(profiles::parse_selections(text, escape_for_terminal(selection_path())));
  const profiles::Selection* own = profiles::decide_selection(selections, facts.cwd);
  plan::Resolver resolver(*facts.files);
  const std::string project =
      plan::find_project(resolver, facts.cwd, resolver.resolve(facts.home).path);
  if (const auto* main = find_inherited(selections, own, resolver, project))
    return Chosen{main->profile, reason(*main, ", the main work tree of this one")};
  if (own != nullptr) return Chosen{own->profile, reason(*own, "")};
  return Chosen{kDefault, "the default: no entry of projects.toml holds this directory"};
}

}  // namespace dirbox::cli
