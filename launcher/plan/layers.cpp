#include "launcher/plan/layers.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"

namespace dirbox::plan {
namespace {

using Test = bool (*)(const Plan& plan);

bool always(const Plan&) { return true; }
bool with_landlock(const Plan& plan) { return plan.spec.landlock; }
/// Domains keep signals and abstract sockets to themselves from this ABI on (landlock(7)).
bool with_scopes(const Plan& plan) {
  constexpr int kScopes = 6;
  return plan.spec.landlock && plan.landlock_abi >= kScopes;
}
bool with_network(const Plan& plan) { return plan.spec.own_network; }
bool without_nested(const Plan& plan) { return !plan.spec.nested_userns; }
bool with_guard(const Plan& plan) { return plan.guard.mode != guard::Mode::off; }

bool is_unruled(const Excluded& excluded) {
  return excluded.policy.mode == broker::Mode::host && excluded.policy.allow.empty() &&
         excluded.policy.deny.empty();
}
bool with_broker_rules(const Plan& plan) {
  return std::none_of(plan.excluded.begin(), plan.excluded.end(), is_unruled);
}

struct LayerRow {
  std::string_view layer;
  Test in_force;
};
constexpr LayerRow kNamespace{"namespace", always}, kMount{"mount", always},
    kLandlock{"landlock", with_landlock}, kScopes{"landlock", with_scopes},
    kSeccomp{"seccomp", always}, kNetns{"netns", with_network}, kProxy{"proxy", with_network},
    kGuard{"guard", with_guard}, kBroker{"broker", with_broker_rules},
    kNoNamespaces{"namespace", without_nested}, kNoNamespaceCalls{"seccomp", without_nested};

struct PromiseRow {
  std::string_view promise;
  LayerRow layers[3];  ///< as many as have a name
};
constexpr PromiseRow kPromises[] = {
    {"what no rule grants can be neither read nor written", {kMount, kLandlock}},
    {"what is hidden within a grant cannot be read", {kMount}},
    {"what is granted for reading cannot be written", {kMount, kLandlock}},
    {"what the host would execute is not planted", {kMount, kGuard}},
    {"unix sockets of the host are out of reach", {kMount}},
    {"abstract sockets of the host are out of reach", {kNetns, kScopes}},
    {"only hosts that a rule names are reached", {kNetns, kProxy}},
    {"servers of the host and its networks are out of reach", {kNetns, kProxy}},
    {"processes of the host are not seen", {kNamespace}},
    {"processes of the host are not traced", {kNamespace, kSeccomp, kLandlock}},
    {"processes of the host are not signalled", {kNamespace, kScopes}},
    {"variables that no entry passes are not there", {kNamespace}},
    {"nothing types into the terminal", {kSeccomp}},
    {"no user namespace is made inside", {kNoNamespaces, kNoNamespaceCalls}},
    {"no mount is made or changed", {kNamespace, kNoNamespaceCalls, kLandlock}},
    {"system calls that are closed fail", {kSeccomp}},
    {"commands run on the host only as rules permit", {kBroker}},
};

}  // namespace

std::vector<Enforced> list_enforced(const Plan& plan) {
  std::vector<Enforced> out;
  for (const PromiseRow& row : kPromises) {
    Enforced& enforced = out.emplace_back(Enforced{row.promise, {}, {}});
    for (const LayerRow& layer : row.layers) {
      if (layer.layer.empty()) break;
      (layer.in_force(plan) ? enforced.layers : enforced.missing).push_back(layer.layer);
    }
  }
  return out;
}

std::string describe_layers(const Enforced& enforced) {
  std::string out = enforced.layers.empty() ? "nothing" : "";
  out += fmt::format("{}", fmt::join(enforced.layers, ", "));
  if (!enforced.missing.empty())
    out += fmt::format(" (not: {})", fmt::join(enforced.missing, ", "));
  return out;
}

std::string render_layers(const Plan& plan) {
  Table table;
  for (const Enforced& enforced : list_enforced(plan))
    table.add({std::string(enforced.promise), describe_layers(enforced)});
  return table.render(2);
}

Json layers_to_json(const Plan& plan) {
  JsonArray out;
  for (const Enforced& enforced : list_enforced(plan)) {
    Json item;
    item.set("promise", enforced.promise);
    item.set("layers", JsonArray(enforced.layers.begin(), enforced.layers.end()));
    item.set("missing", JsonArray(enforced.missing.begin(), enforced.missing.end()));
    out.push_back(std::move(item));
  }
  return out;
}

}  // namespace dirbox::plan
