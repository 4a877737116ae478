#include "launcher/plan/docker.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "profiles/docker_rules.h"
#include "profiles/text_rules.h"

namespace dirbox::plan {
namespace {

using docker::BindRoot;

constexpr std::size_t kMostMasks = 64;  // mounts of each container

std::string rule_of(std::string_view key, const Origin& origin) {
  return origin.file.empty() ? fmt::format("docker.{}", key)
                             : fmt::format("docker.{} ({})", key, origin.text());
}

docker::Amount amount_of(std::string_view key, const profiles::Setting<std::uint64_t>& setting) {
  return {setting.value, rule_of(key, setting.origin)};
}

docker::Names names_of(std::string_view key, const std::vector<profiles::Entry>& entries) {
  docker::Names names;
  for (const profiles::Entry& entry : entries) names.values.push_back(entry.text);
  names.rule = entries.empty() ? rule_of(key, {}) : rule_of(key, entries.back().origin);
  return names;
}

/// The nearest directory above `path` that the sandbox can write: in it, it could put something
/// else at the way to `path`.
const PathRule* find_writable_above(const Plan& plan, const std::string& path) {
  for (std::string at = path; at != "/";) {
    const PathRule* rule = find_rule(plan, path_parent(at));
    if (rule == nullptr || rule->access == PathAccess::write) return rule;
    at = rule->path;
  }
  return nullptr;
}

/// What is not writable or not visible beneath a root is not so in a container either. Hidden paths
/// deeper than the first level could be moved from under their cover with their directory.
void add_masks(const Plan& plan, BindRoot& root) {
  for (const PathRule& rule : plan.rules) {
    const bool placed = rule.type != FileType::missing && rule.type != FileType::symlink;
    if (!placed || rule.path == root.path || !path_is_beneath(rule.path, root.path) ||
        rule.access == PathAccess::write)
      continue;
    docker::Mask mask;
    mask.path = path_relative(rule.path, root.path);
    mask.directory = rule.type == FileType::directory;
    mask.hidden = rule.access == PathAccess::hide;
    if (mask.hidden && mask.path.find('/') != std::string::npos) {
      root.refusal =
          fmt::format("{} hides {} deep in it", rule.origin.text(), escape_for_terminal(rule.path));
    }
    root.masks.push_back(std::move(mask));
  }
  if (root.masks.size() > kMostMasks) root.refusal = "too much in it is hidden or protected";
}

BindRoot make_root(const Plan& plan, const std::string& path, const FileStat& stat, bool writable) {
  BindRoot root;
  root.path = path;
  root.writable = writable;
  root.directory = stat.type == FileType::directory;
  root.device = stat.id.device;
  root.inode = stat.id.inode;
  add_masks(plan, root);
  return root;
}

bool can_be_root(const FileStat& stat) {
  return stat.type == FileType::directory || stat.type == FileType::regular;
}

/// Everything that can be written inside, but for what lies in such a path.
void add_writable_roots(const profiles::Profile& profile, Resolver& resolver, Plan& plan) {
  // Inside, another directory is there, of which the engine does not know.
  const bool own_swarm = profile.swarm_state.value == profiles::SwarmState::own;
  const std::string swarm = path_join(plan.home, ".swarm");
  for (const PathRule& rule : plan.rules) {
    if (own_swarm && rule.path == swarm) continue;
    if (rule.access != PathAccess::write || find_writable_above(plan, rule.path) != nullptr)
      continue;
    FileStat stat = resolver.resolve(rule.path).stat;
    if (can_be_root(stat)) plan.docker.binds.push_back(make_root(plan, rule.path, stat, true));
  }
}

Result<void> add_listed_roots(const profiles::Profile& profile, Resolver& resolver, Plan& plan,
                              const profiles::Variables& places) {
  for (const profiles::Entry& entry : profile.docker_binds) {
    std::string text = profiles::expand_path(entry.text, places);
    Resolver::Resolution found = resolver.resolve(text);
    auto refused = [&](std::string_view why, std::string_view hint) {
      return fail("compile docker.binds", entry.origin.text(),
                  fmt::format("{}: {}", escape_for_terminal(text), why), hint);
    };
    if (!can_be_root(found.stat)) {
      if (entry.optional && found.stat.type == FileType::missing) continue;
      return refused("it is no file or directory", "write \"?PATH\" where it may be missing");
    }
    const PathRule* rule = find_rule(plan, found.path);
    if (rule == nullptr || rule->access == PathAccess::hide)
      return refused("the sandbox cannot see it", "add it to filesystem.read or filesystem.write");
    const bool known = std::any_of(plan.docker.binds.begin(), plan.docker.binds.end(),
                                   [&](const BindRoot& root) { return root.path == found.path; });
    if (known) continue;
    if (const PathRule* above = find_writable_above(plan, found.path)) {
      return refused(fmt::format("{} can be written, so that the sandbox could put another file in "
                                 "its place",
                                 escape_for_terminal(above->path)),
                     "containers can mount that directory as a whole");
    }
    plan.docker.binds.push_back(make_root(plan, found.path, found.stat, false));
  }
  return {};
}

/// Where dockerd and podman listen (dockerd(8), podman-system-service(1)).
std::vector<std::string> usual_sockets(const HostFacts& facts) {
  std::vector<std::string> sockets;
  constexpr std::string_view kScheme = "unix://";
  std::string_view host = facts.variable("DOCKER_HOST");
  if (host.starts_with(kScheme) && host.size() > kScheme.size() && host[kScheme.size()] == '/')
    sockets.emplace_back(host.substr(kScheme.size()));
  sockets.emplace_back("/var/run/docker.sock");
  std::string_view runtime = facts.variable("XDG_RUNTIME_DIR");
  if (runtime.starts_with('/')) {
    sockets.push_back(path_join(runtime, "docker.sock"));
    sockets.push_back(path_join(runtime, "podman/podman.sock"));
  }
  if (facts.uid == 0) sockets.emplace_back("/run/podman/podman.sock");
  return sockets;
}

void add_variables(Plan& plan, const Origin& origin) {
  const std::pair<const char*, std::string> variables[] = {
      {"DOCKER_HOST", "unix://" + std::string(docker::kSocket)},
      // BuildKit's own protocol cannot be filtered.
      {"DOCKER_BUILDKIT", "0"},
      {"COMPOSE_DOCKER_CLI_BUILD", "0"},
  };
  for (const auto& [name, value] : variables) {
    std::erase_if(plan.environment,
                  [&name = name](const EnvironmentVariable& e) { return e.name == name; });
    plan.environment.push_back({name, value, origin});
  }
  plan.spec.environment.clear();
  for (const EnvironmentVariable& variable : plan.environment)
    plan.spec.environment.push_back(variable.name + "=" + variable.value);
}

}  // namespace

bool is_filtered_docker(const profiles::Excluded& row) {
  return row.mode == broker::Mode::filter &&
         (row.command == "docker" || row.command == "docker-compose");
}

bool filters_docker(const profiles::Profile& profile) {
  return std::any_of(profile.excluded.begin(), profile.excluded.end(), is_filtered_docker);
}

Result<void> compile_docker(const profiles::Profile& profile, const HostFacts& facts,
                            Resolver& resolver, Plan& plan) {
  if (!filters_docker(profile)) return {};
  const profiles::Variables places{facts.home, plan.cwd, plan.project};
  docker::FilterSpec& spec = plan.docker;
  spec.uid = facts.uid;
  spec.gid = facts.gid;
  // Not the path itself: labels of containers are for everybody who may ask the engine.
  spec.project = sha256_hex(fmt::format("{} {}", facts.uid, plan.project)).substr(0, 32);
  spec.memory = amount_of("memory", profile.docker_memory);
  spec.cpus = {profiles::parse_cpus(profile.docker_cpus.value).value_or(0),
               rule_of("cpus", profile.docker_cpus.origin)};
  spec.pids = amount_of("pids", profile.docker_pids);
  spec.shm = amount_of("shm_size", profile.docker_shm);
  spec.containers = amount_of("max_containers", profile.docker_containers);
  spec.networks = names_of("networks", profile.docker_networks);
  spec.images = names_of("images", profile.docker_images);
  spec.capabilities = names_of("capabilities", profile.docker_capabilities);
  for (const profiles::Entry& entry : profile.docker_sockets)
    spec.sockets.push_back(profiles::expand_path(entry.text, places));
  if (spec.sockets.empty()) spec.sockets = usual_sockets(facts);
  add_writable_roots(profile, resolver, plan);
  TRY_VOID(add_listed_roots(profile, resolver, plan, places));
  spec.binds_rule = profile.docker_binds.empty()
                        ? "filesystem.write"
                        : rule_of("binds", profile.docker_binds.back().origin);
  plan.spec.listeners.push_back({std::string(docker::kSocket), SOCK_STREAM});
  add_variables(
      plan,
      std::find_if(profile.excluded.begin(), profile.excluded.end(), is_filtered_docker)->origin);
  return {};
}

}  // namespace dirbox::plan
