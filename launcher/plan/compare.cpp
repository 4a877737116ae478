#include "launcher/plan/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "launcher/base/glob.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox::plan {
namespace {

using profiles::Effect;

/// Where users and administrators keep agents from doing things.
struct Restricting {
  std::string_view variable;   ///< that names the directory, "": none does
  std::string_view directory;  ///< without it; "": the project, and the working directory
  std::string_view names;      ///< "a|b", in the directory
};
constexpr Restricting kRestricting[] = {
    {"", "/etc", "claude-code|codex|gemini-cli|opencode"},
    {"HOME", "~", ""},
    {"CLAUDE_CONFIG_DIR", "~/.claude", "settings.json|settings.local.json|hooks|CLAUDE.md|rules"},
    {"CODEX_HOME", "~/.codex",
     "config.toml|managed_config.toml|requirements.toml|hooks.json|hooks|AGENTS.md|rules"},
    {"GEMINI_CLI_HOME", "~", ".gemini/settings.json|.gemini/policies|.gemini/GEMINI.md"},
    {"XDG_CONFIG_HOME", "~/.config", "opencode"},
    {"OPENCODE_CONFIG_DIR", "~/.opencode", "opencode.json|opencode.jsonc|AGENTS.md"},
    {"", "",
     ".claude/settings.json|.claude/settings.local.json|.claude/hooks|.claude/"
     "rules|CLAUDE.local.md|"
     ".codex|.gemini/settings.json|.gemini/policies|opencode.json|opencode.jsonc"},
};

std::string_view value_inside(const Plan& plan, std::string_view name) {
  for (const EnvironmentVariable& variable : plan.environment) {
    if (variable.name == name) return variable.value;
  }
  return {};
}

/// What `row` may mean on the host and inside.
std::vector<std::string> directories_of(const Restricting& row, const HostFacts& facts,
                                        const Plan& plan) {
  if (row.directory.empty()) return {plan.project, plan.cwd};
  std::vector<std::string_view> texts{row.directory};
  for (std::string_view value : {facts.variable(row.variable), value_inside(plan, row.variable)}) {
    if (!row.variable.empty() && !value.empty()) texts.push_back(value);
  }
  std::vector<std::string> out;
  for (const std::string_view text : texts) {
    const bool home = text == "~" || text.starts_with("~/");
    out.push_back(home ? facts.home + std::string(text.substr(1)) : path_join(plan.cwd, text));
  }
  return out;
}

constexpr const char* kTakes = ": it takes away what restricts the agent";

constexpr int kWrite = 2;

/// Lower is less.
int rank(const PathRule* rule) {
  if (rule == nullptr || rule->access == PathAccess::hide) return 0;
  return rule->access == PathAccess::write ? kWrite : 1;
}

std::string_view words(int access) {
  constexpr std::string_view kWords[] = {"not visible", "read", "write"};
  return kWords[access];
}

/// Whether a rule of `after` at `path`, which makes it invisible, takes away one of `restrictions`.
bool takes_restriction(const Plan& before, const Plan& after, const std::string& path,
                       const std::vector<std::string>& restrictions) {
  const PathRule* now = find_rule(after, path);
  const PathRule* was = find_rule(before, path);
  if (rank(now) != 0 || (was != nullptr && was->access == PathAccess::hide)) return false;
  // Also of what is not there yet, and so is not granted either.
  const bool hidden = now != nullptr;
  return std::any_of(restrictions.begin(), restrictions.end(), [&](const std::string& one) {
    if (path_is_beneath(path, one)) return hidden || rank(was) != 0;
    if (!path_is_beneath(one, path)) return false;
    return hidden || (rank(find_rule(before, one)) != 0 && rank(find_rule(after, one)) == 0);
  });
}

void compare_paths(const Plan& before, const Plan& after,
                   const std::vector<std::string>& restrictions, std::vector<Change>& out) {
  std::set<std::string> paths;
  for (const Plan* plan : {&before, &after}) {
    for (const PathRule& rule : plan->rules) paths.insert(rule.path);
  }
  for (const std::string& path : paths) {
    const PathRule* now = find_rule(after, path);
    // What is made at the start can be written from then on.
    const auto& made = before.missing_directories;
    const bool later = std::find(made.begin(), made.end(), path) != made.end();
    const int is = rank(now), was = later ? kWrite : rank(find_rule(before, path));
    const bool takes = takes_restriction(before, after, path, restrictions);
    if (is == was && !takes) continue;
    out.push_back({is > was || takes ? Effect::widens : Effect::narrows,
                   fmt::format("{} {} (before: {}){}", words(is), escape_for_terminal(path),
                               words(was), takes ? kTakes : ""),
                   now == nullptr ? Origin{} : now->origin});
  }
}

/// An agent that is not told where its settings are does without them.
void compare_variables(const Plan& before, const Plan& after, std::vector<Change>& out) {
  for (const Restricting& row : kRestricting) {
    const std::string_view was = value_inside(before, row.variable);
    if (was.empty() || value_inside(after, row.variable) == was) continue;
    out.push_back(
        {Effect::widens,
         fmt::format("{} is not what it was: it says what restricts the agent", row.variable),
         {}});
  }
}

/// What appears later where a pattern is, is taken away.
void compare_held(const Plan& before, const Plan& after,
                  const std::vector<std::string>& restrictions, std::vector<Change>& out) {
  auto only_in = [](const Plan& one, const Plan& other) {
    std::vector<std::string> globs;
    for (const std::string& glob : one.guard.globs) {
      const auto& others = other.guard.globs;
      if (std::find(others.begin(), others.end(), glob) == others.end()) globs.push_back(glob);
    }
    return globs;
  };
  auto takes = [&](const std::string& text) {
    const auto glob = Glob::parse(text);
    return !glob || std::any_of(restrictions.begin(), restrictions.end(),
                                [&](const auto& path) { return !glob->find_in(path).empty(); });
  };
  for (const std::string& glob : only_in(before, after)) {
    out.push_back({Effect::widens, "leave what appears at " + escape_for_terminal(glob), {}});
  }
  for (const std::string& glob : only_in(after, before)) {
    const bool widens = takes(glob);
    out.push_back({widens ? Effect::widens : Effect::narrows,
                   fmt::format("take away what appears at {}{}", escape_for_terminal(glob),
                               widens ? kTakes : ""),
                   {}});
  }
}

void compare_made(const Plan& before, const Plan& after, std::vector<Change>& out) {
  for (const std::string& directory : after.missing_directories) {
    const auto& old = before.missing_directories;
    if (std::find(old.begin(), old.end(), directory) != old.end()) continue;
    if (directory == after.own_swarm) continue;  // dirbox's own, whatever the file says
    out.push_back({Effect::widens,
                   fmt::format("make the directory {} on the host", escape_for_terminal(directory)),
                   {}});
  }
}

/// What a shim stood for is another file, which can be read where the shim is gone. That of a
/// distribution tells nothing.
void compare_shims(const Plan& before, const Plan& after, std::vector<Change>& out) {
  auto covers = [](const sandbox::Mount& mount) {
    return mount.kind == sandbox::MountKind::shim && !mount.in_root;
  };
  auto is_of_system = [](const std::string& path) {
    return path_is_beneath(path, "/usr") && !path_is_beneath(path, "/usr/local");
  };
  for (const sandbox::Mount& mount : before.spec.mounts) {
    if (!covers(mount) || is_of_system(mount.target)) continue;
    const auto& mounts = after.spec.mounts;
    const bool stays = std::any_of(mounts.begin(), mounts.end(), [&](const sandbox::Mount& m) {
      return covers(m) && m.target == mount.target;
    });
    if (stays || rank(find_rule(after, mount.target)) == 0) continue;
    out.push_back({Effect::widens,
                   fmt::format("show {}, which {} stands for (before: not visible)",
                               escape_for_terminal(mount.target), mount.origin.text()),
                   {}});
  }
}

/// An entry that may be absent, and stands behind no rule: of what is not there yet. Whoever looks
/// at the changes before it appears would not see it otherwise.
bool grants_later(const Plan& after, const profiles::Difference& d) {
  return d.added && d.value.starts_with('?') &&
         (d.key == "filesystem.read" || d.key == "filesystem.write") &&
         std::none_of(after.rules.begin(), after.rules.end(),
                      [&](const PathRule& rule) { return rule.origin == d.origin; });
}

}  // namespace

std::vector<std::string> find_restrictions(Resolver& resolver, const HostFacts& facts,
                                           const Plan& plan) {
  std::set<std::string> out;
  for (const Restricting& row : kRestricting) {
    for (const std::string& directory : directories_of(row, facts, plan)) {
      for (std::string_view names = row.names; !names.empty();) {
        const std::size_t bar = std::min(names.find('|'), names.size());
        std::string path = path_normalize(path_join(directory, names.substr(0, bar)));
        names.remove_prefix(std::min(bar + 1, names.size()));
        Resolver::Resolution found = resolver.resolve(path);
        for (Resolver::Hop& hop : found.hops) out.insert(std::move(hop.path));
        out.insert(std::move(found.path));
        out.insert(std::move(path));
      }
    }
  }
  return {out.begin(), out.end()};
}

std::vector<Change> compare_plans(const profiles::Profile& before, const Plan& before_plan,
                                  const profiles::Profile& after, const Plan& after_plan,
                                  const std::vector<std::string>& restrictions) {
  std::vector<Change> out;
  compare_paths(before_plan, after_plan, restrictions, out);
  compare_held(before_plan, after_plan, restrictions, out);
  compare_made(before_plan, after_plan, out);
  compare_shims(before_plan, after_plan, out);
  compare_variables(before_plan, after_plan, out);
  for (const profiles::Judged& judged : profiles::judge_changes(before, after)) {
    const profiles::Difference& d = judged.difference;
    const bool later = judged.effect == Effect::by_path && grants_later(after_plan, d);
    if (judged.effect == Effect::none || (judged.effect == Effect::by_path && !later)) continue;
    out.push_back({later ? Effect::widens : judged.effect,
                   fmt::format("{} {} {}", d.added ? "+" : "-", d.key, d.value), d.origin});
  }
  std::stable_sort(out.begin(), out.end(), [](const Change& a, const Change& b) {
    return (a.effect == Effect::widens) > (b.effect == Effect::widens);
  });
  return out;
}

}  // namespace dirbox::plan
