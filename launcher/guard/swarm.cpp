#include "launcher/guard/swarm.h"

#include <map>

#include "launcher/base/json.h"

namespace dirbox::guard {
namespace {

/// swarm's own sessions are "swarm-" and a hash of its directory.
constexpr std::string_view kOwnSession = "swarm-";

std::string text_in(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  const std::string* text = value != nullptr ? value->as_string() : nullptr;
  return text != nullptr ? *text : std::string();
}

/// What is told of a state, by the name of what it is about.
std::map<std::string, std::string> read_state(What what, const Json& state) {
  std::map<std::string, std::string> out;
  if (what == What::swarm_heartbeat) out["message"] = text_in(state, "message");
  if (what == What::swarm_loop) out["prompt_file"] = text_in(state, "prompt_file");
  const Json* workers = what == What::swarm_workers ? state.find("workers") : nullptr;
  if (workers == nullptr || workers->as_array() == nullptr) return out;
  for (const Json& worker : *workers->as_array()) {
    const Json* pane = worker.find("tmux");
    if (pane == nullptr) continue;
    const std::string session = text_in(*pane, "session");
    if (!session.empty() && !session.starts_with(kOwnSession))
      out["tmux of " + text_in(worker, "name")] = session + ":" + text_in(*pane, "window");
  }
  return out;
}

}  // namespace

std::vector<Finding> judge_swarm(const NameRule& rule, const Before& before, const Entry& now,
                                 const Follow& follow) {
  if (rule.what == What::swarm_code || !now.text)
    return {{{}, {}, std::nullopt, "the file", rule.why, {}}};
  auto state = Json::parse(*now.text);
  if (!state || state->as_object() == nullptr)
    return {{{}, {}, std::nullopt, "no state that can be read", rule.why, {}}};
  std::map<std::string, std::string> old;
  if (auto kept = Json::parse(before.text.value_or("{}")); kept && kept->as_object() != nullptr)
    old = read_state(rule.what, *kept);
  std::vector<Finding> out;
  for (const auto& [key, value] : read_state(rule.what, *state)) {
    const auto same = old.find(key);
    if (value.empty() || (same != old.end() && same->second == value)) continue;
    if (rule.what == What::swarm_loop && follow(rule.what, value)) continue;
    Finding told{{}, key, std::nullopt, value, rule.why, {}};
    if (same != old.end() && !same->second.empty()) told.before = same->second;
    out.push_back(std::move(told));
  }
  return out;
}

}  // namespace dirbox::guard
