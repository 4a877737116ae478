#include "launcher/plan/swarm.h"

#include <algorithm>

#include "launcher/base/file.h"
#include "launcher/base/path.h"

namespace dirbox::plan {

std::string project_key(const std::string& project) {
  constexpr std::size_t kDigits = 16;
  return std::string(path_name(project)) + "-" + sha256_hex(project).substr(0, kDigits);
}

Result<void> compile_swarm(const profiles::Profile& profile, const HostFacts& facts,
                           Resolver& resolver, const RuleSet& rules, Plan& plan) {
  if (profile.swarm_state.value != profiles::SwarmState::own) return {};
  const std::string place = path_join(plan.home, ".swarm");
  const PathRule* rule = rules.decide(place);
  const bool of_write =
      rule != nullptr && (rule->access == PathAccess::write || rule->access == PathAccess::protect);
  const auto mount = std::find_if(plan.spec.mounts.begin(), plan.spec.mounts.end(),
                                  [&](const sandbox::Mount& m) { return m.target == place; });
  if (!of_write || mount == plan.spec.mounts.end()) return {};
  constexpr const char* kDoing = "give the project a ~/.swarm of its own";
  if (!mount->in_root) {
    return fail(kDoing, profile.swarm_state.origin.text(), "the home is not private",
                "add filesystem.home = \"private\", or share the host's ~/.swarm");
  }
  const std::string_view xdg = facts.variable("XDG_STATE_HOME");
  const std::string state =
      path_join(xdg.starts_with('/') ? std::string(xdg) : path_join(plan.home, ".local/state"),
                "dirbox/projects/" + project_key(plan.project) + "/swarm");
  const Resolver::Resolution found = resolver.resolve(state);
  // With the state in the project, a clone can bring a link along that leads anywhere.
  for (const Resolver::Hop& hop : found.hops) {
    if (path_is_beneath(hop.path, plan.project))
      return fail(kDoing, hop.path, "a symlink of the project leads there",
                  "set XDG_STATE_HOME to a directory outside of it");
  }
  mount->kind = sandbox::MountKind::bind;
  mount->source = found.path;
  mount->id = found.stat.id;
  mount->is_directory = true;
  mount->origin = profile.swarm_state.origin;
  if (found.stat.type == FileType::missing) {
    plan.missing_directories.push_back(state);
    plan.own_swarm = state;
  } else if (found.stat.type != FileType::directory) {
    return fail(kDoing, state, "not a directory");
  }
  return {};
}

}  // namespace dirbox::plan
