#include "profiles/narrow.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "launcher/base/text.h"
#include "profiles/schema.h"

namespace dirbox::profiles {
namespace {

/// How the values of a key order.
enum class Rule {
  nothing,         ///< no value grants anything
  path,            ///< see Effect::by_path
  path_refuses,    ///< the same, but an element less widens: of what an option grants as well
  grants,          ///< a list: an element more widens, one less narrows
  refuses,         ///< a list: an element more narrows, one less widens
  at_most,         ///< a number: a smaller one narrows, as does one where there was none
  stricter_first,  ///< a choice: an earlier word narrows; of a boolean, false
  stricter_last,   ///< a choice: a later word narrows
};

struct KeyRule {
  std::string_view key;
  Rule rule;
};

// A key that is missing here widens, however it changes: environment.set can point an agent at
// another server, seccomp.rules need an evaluator, and what a later version adds is not known.
constexpr KeyRule kRules[] = {
    {"description", Rule::nothing},
    {"process.hostname", Rule::nothing},
    {"verify", Rule::nothing},  // runs inside
    {"filesystem.read", Rule::path},
    {"filesystem.write", Rule::path},
    {"filesystem.hide", Rule::path_refuses},
    {"filesystem.protect", Rule::path_refuses},
    {"filesystem.copy", Rule::grants},
    {"filesystem.sync", Rule::grants},
    {"filesystem.home", Rule::stricter_first},
    {"filesystem.sockets", Rule::grants},
    {"filesystem.devices", Rule::grants},
    {"filesystem.tmp_size", Rule::at_most},
    {"filesystem.shm_size", Rule::at_most},
    {"filesystem.run_size", Rule::at_most},
    {"filesystem.home_size", Rule::at_most},
    {"filesystem.guard", Rule::stricter_last},
    {"filesystem.worktrees", Rule::stricter_first},
    {"filesystem.swarm_state", Rule::stricter_last},
    {"environment.pass", Rule::grants},
    {"network.mode", Rule::stricter_first},
    {"network.allow", Rule::grants},
    {"network.deny", Rule::refuses},
    {"network.upgrade", Rule::grants},
    {"network.tls", Rule::stricter_first},
    {"network.tls_ports", Rule::refuses},
    {"network.allow_ech", Rule::stricter_first},
    {"network.allow_non_tls", Rule::stricter_first},
    {"network.host_ports", Rule::grants},
    {"network.publish", Rule::grants},
    {"seccomp.allow", Rule::grants},
    {"seccomp.deny", Rule::refuses},
    {"process.nested_userns", Rule::stricter_first},
    {"limits.nofile", Rule::at_most},
    {"limits.nproc", Rule::at_most},
    {"limits.fsize", Rule::at_most},
    {"limits.as", Rule::at_most},
    {"require.landlock", Rule::stricter_first},
};

const Row* row_of(std::string_view key) {
  const std::size_t dot = key.find('.');
  if (dot == key.npos) return find_row("", key);
  return find_row(key.substr(0, dot), key.substr(dot + 1));
}

/// The rank of a value: lower is stricter. nullopt: not comparable.
std::optional<std::uint64_t> rank(const Row& row, Rule rule, const std::string& value) {
  if (rule == Rule::at_most) return parse_size(value);
  if (row.choices.empty()) {
    if (value != "true" && value != "false") return std::nullopt;
    return value == "true" ? 1 : 0;
  }
  const auto words = choices_of(row);
  const auto found = std::find(words.begin(), words.end(), value);
  if (found == words.end()) return std::nullopt;
  const auto position = static_cast<std::uint64_t>(found - words.begin());
  return rule == Rule::stricter_last ? words.size() - position : position;
}

/// The effect of a key with one value: `before` and `after` are what it had and has, or nullptr.
Effect judge_scalar(const Row& row, Rule rule, const Difference* before, const Difference* after) {
  if (after == nullptr) return Effect::widens;  // what was limited is not any more
  const auto now = rank(row, rule, after->value);
  if (before == nullptr) return now && rule == Rule::at_most ? Effect::narrows : Effect::widens;
  const auto was = rank(row, rule, before->value);
  return now && was && *now <= *was ? Effect::narrows : Effect::widens;
}

Effect judge(const std::vector<Difference>& all, const Difference& one) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules),
                                   [&](const KeyRule& r) { return r.key == one.key; });
  const Row* row = row_of(one.key);
  if (found == std::end(kRules) || row == nullptr) return Effect::widens;
  switch (found->rule) {
    case Rule::nothing:
      return Effect::none;
    case Rule::path:
      return Effect::by_path;
    case Rule::path_refuses:
      return one.added ? Effect::by_path : Effect::widens;
    case Rule::grants:
      return one.added ? Effect::widens : Effect::narrows;
    case Rule::refuses:
      return one.added ? Effect::narrows : Effect::widens;
    default:
      break;
  }
  const Difference* sides[2] = {nullptr, nullptr};
  for (const Difference& other : all) {
    if (other.key == one.key) sides[other.added ? 1 : 0] = &other;
  }
  return judge_scalar(*row, found->rule, sides[0], sides[1]);
}

}  // namespace

std::vector<Judged> judge_changes(const Profile& before, const Profile& after) {
  const std::vector<Difference> all = diff_profiles(before, after);
  std::vector<Judged> out;
  out.reserve(all.size());
  for (const Difference& one : all) out.push_back({one, judge(all, one)});
  return out;
}

}  // namespace dirbox::profiles
