#include "launcher/verify/sabotage.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/broker/docker/spec.h"
#include "launcher/sandbox/test_skip.h"
#include "launcher/verify/context.h"
#include "launcher/verify/verify.h"

namespace dirbox::verify {

#ifdef DIRBOX_TEST_BUILD

namespace {

using sandbox::Mount;
using sandbox::MountKind;

const Origin kOrigin{"--sabotage", 0, 0};

/// Something of the host at `target`, which lies in a tmpfs of the sandbox.
void show(plan::Plan& plan, const std::string& source, const std::string& target) {
  struct stat st {};
  if (::stat(source.c_str(), &st) != 0) return;
  Mount mount;
  mount.source = source;
  mount.target = target;
  mount.id = {st.st_dev, st.st_ino};
  mount.is_directory = S_ISDIR(st.st_mode);
  mount.origin = kOrigin;
  plan.spec.mounts.push_back(mount);
  plan.spec.landlock_rules.push_back({target, sandbox::Access::write});
}

void allow(plan::Plan& plan, const Canaries& canaries, const std::string& name) {
  plan.network.allow.push_back({name, kOrigin});
  for (std::uint16_t port : {std::uint16_t{443}, std::uint16_t{80}})
    plan.network.net_map.push_back({name, port, "127.0.0.1", canaries.servers.port()});
}

void remove_read_only(plan::Plan& plan, const Canaries&) {
  for (Mount& mount : plan.spec.mounts) mount.writable |= mount.kind == MountKind::bind;
  std::erase_if(plan.spec.mounts,
                [](const Mount& mount) { return mount.kind == MountKind::read_only; });
}
void remove_masks(plan::Plan& plan, const Canaries&) {
  std::erase_if(plan.spec.mounts, [](const Mount& mount) { return mount.kind == MountKind::mask; });
}
/// What is hidden at the top of the home is there.
void remove_absence(plan::Plan& plan, const Canaries&) {
  const std::vector<plan::PathRule> rules = plan.rules;
  for (const plan::PathRule& rule : rules) {
    const bool hidden = rule.access == plan::PathAccess::hide;
    if (hidden && path_parent(rule.path) == plan.home) show(plan, rule.path, rule.path);
  }
}
void remove_environment(plan::Plan& plan, const Canaries&) {
  const char* value = std::getenv(kCanaryVariable);
  if (value != nullptr) plan.spec.environment.push_back(std::string(kCanaryVariable) + "=" + value);
}
void remove_rules(plan::Plan& plan, const Canaries& canaries) {
  allow(plan, canaries, denied_name(canaries));
}
void remove_tls(plan::Plan& plan, const Canaries&) { plan.network.tls = netns::TlsCheck::off; }
void remove_address_guard(plan::Plan& plan, const Canaries& canaries) {
  if (!canaries.named) return;
  const auto port = static_cast<std::uint16_t>(canaries.named->port);
  plan.network.net_map.push_back({canaries.private_name, port, canaries.named->address, port});
}
void remove_broker(plan::Plan& plan, const Canaries&) {
  for (plan::Excluded& excluded : plan.excluded) {
    excluded.policy.mode = broker::Mode::host;
    excluded.policy.allow.clear();
    excluded.policy.deny.clear();
  }
}
/// The engine itself at the filter's place.
void remove_docker(plan::Plan& plan, const Canaries& canaries) {
  std::erase_if(plan.spec.listeners,
                [](const sandbox::UnixListener& one) { return one.path == docker::kSocket; });
  show(plan, canaries.servers.engine(), std::string(docker::kSocket));
}
void remove_guard(plan::Plan& plan, const Canaries&) { plan.guard.mode = guard::Mode::off; }

struct Layer {
  const char* name;
  const char* steps;
  void (*remove)(plan::Plan& plan, const Canaries& canaries);
};
constexpr Layer kLayers[] = {
    {"userns", "userns-limit", nullptr},
    {"uts", "hostname,uts-namespace", nullptr},
    {"net", "network,net-namespace", nullptr},
    {"ipc", "ipc-namespace", nullptr},
    {"cgroup", "cgroup-namespace", nullptr},
    {"pid", "pid-namespace", nullptr},
    {"session", "terminal", nullptr},
    {"mount", "", remove_read_only},
    {"masks", "", remove_masks},
    {"home", "", remove_absence},
    {"environment", "", remove_environment},
    {"proxy", "", remove_rules},
    {"tls", "", remove_tls},
    {"address-guard", "", remove_address_guard},
    {"broker", "", remove_broker},
    {"docker", "", remove_docker},
    {"guard", "", remove_guard},
};

void add_step(std::string& steps, std::string_view more) {
  if (more.empty()) return;
  if (!steps.empty()) steps += ',';
  steps += more;
}

}  // namespace

std::vector<std::string> list_layers() {
  std::vector<std::string> names;
  for (const Layer& layer : kLayers) names.emplace_back(layer.name);
  for (std::string& step : sandbox::list_skippable_steps()) names.push_back(std::move(step));
  return names;
}

Result<std::string> remove_layers(std::string_view layers, const Canaries& canaries,
                                  plan::Plan& plan) {
  std::string steps;
  while (!layers.empty()) {
    const std::string_view name = layers.substr(0, layers.find(','));
    layers.remove_prefix(std::min(name.size() + 1, layers.size()));
    const auto* layer = std::find_if(std::begin(kLayers), std::end(kLayers),
                                     [&](const Layer& one) { return one.name == name; });
    if (layer != std::end(kLayers)) {
      add_step(steps, layer->steps);
      if (layer->remove != nullptr) layer->remove(plan, canaries);
      continue;
    }
    const std::vector<std::string> known = sandbox::list_skippable_steps();
    if (std::find(known.begin(), known.end(), name) == known.end())
      return fail("leave out a layer", escape_for_terminal(name), "there is none of that name");
    add_step(steps, name);
  }
  return steps;
}

#else

std::vector<std::string> list_layers() { return {}; }

Result<std::string> remove_layers(std::string_view, const Canaries&, plan::Plan&) {
  return std::string();
}

#endif

}  // namespace dirbox::verify
