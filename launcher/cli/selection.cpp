#include "launcher/cli/selection.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

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

std::string reason(const profiles::Held& held, std::string_view more) {
  const profiles::Selection& selection = *held.selection;
  std::string out = selection.origin.text() + ": " + escape_for_terminal(selection.directory);
  if (held.place != selection.directory)
    out += ", which leads to " + escape_for_terminal(held.place);
  return out.append(more);
}

/// The user's own are those in the home itself and beneath its dot directories, as for a grant, and
/// those where this user can make none.
bool may_be_planted(const plan::Resolver::Hop& hop, const std::string& home) {
  const std::string parent = path_parent(hop.path);
  if (!path_is_beneath(hop.path, home)) return ::access(parent.c_str(), W_OK) == 0;
  return parent != home && !path_relative(hop.path, home).starts_with('.');
}

/// An entry counts where its name leads as well: the working directory has no symlinks in its path.
void follow_links(std::vector<profiles::Selection>& selections, plan::Resolver& resolver,
                  const std::string& home) {
  for (profiles::Selection& selection : selections) {
    const plan::Resolver::Resolution found = resolver.resolve(selection.directory);
    if (found.hops.empty() || found.stat.type != plan::FileType::directory) continue;
    selection.leads_to = found.path;
    selection.planted =
        std::any_of(found.hops.begin(), found.hops.end(),
                    [&](const plan::Resolver::Hop& hop) { return may_be_planted(hop, home); });
  }
}

/// The entry for the main work tree, where `project` is a linked one that no entry at or beneath it
/// names. A forged gitfile inherits nothing; that it is forged the compiler of the plan says.
Result<profiles::Held> find_inherited(const std::vector<profiles::Selection>& selections,
                                      const profiles::Held& own, plan::Resolver& resolver,
                                      const std::string& project) {
  if (own.selection != nullptr && path_is_beneath(own.place, project)) return profiles::Held{};
  auto worktree = plan::find_worktree(resolver, project);
  if (!worktree || !*worktree || !(*worktree)->linked) return profiles::Held{};
  return profiles::decide_selection(selections, (*worktree)->main, kDefault);
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
  auto selections = TRY(profiles::parse_selections(text, escape_for_terminal(selection_path())));
  plan::Resolver resolver(*facts.files);
  const std::string home = resolver.resolve(facts.home).path;
  follow_links(selections, resolver, home);
  const auto own = TRY(profiles::decide_selection(selections, facts.cwd, kDefault));
  const std::string project = plan::find_project(resolver, facts.cwd, home);
  const auto main = TRY(find_inherited(selections, own, resolver, project));
  if (main.selection != nullptr)
    return Chosen{main.selection->profile, reason(main, ", the main work tree of this one")};
  if (own.selection != nullptr) return Chosen{own.selection->profile, reason(own, "")};
  return Chosen{kDefault, "the default: no entry of projects.toml holds this directory"};
}

}  // namespace dirbox::cli
