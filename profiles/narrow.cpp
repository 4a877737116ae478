#include "profiles/narrow.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>
#include <variant>

#include "launcher/base/text.h"
#include "netns/rules.h"
#include "profiles/docker_rules.h"
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
  limits,          ///< network.limits, see judge_limits()
  commands,        ///< excluded, see judge_commands()
};

/// Whether an entry of a list grants all that another one does.
using Covers = bool (*)(std::string_view entry, std::string_view other);

struct KeyRule {
  std::string_view key;
  Rule rule;
  Covers covers = nullptr;  ///< of `grants`: an element that one of before covers narrows
};

/// A name, or a prefix followed by one '*'.
bool covers_variable(std::string_view entry, std::string_view other) {
  if (!entry.ends_with('*')) return entry == other;
  entry.remove_suffix(1);
  return other.starts_with(entry);
}

bool covers_target(const netns::Rule& rule, const netns::Rule& other) {
  const auto* network = std::get_if<netns::Network>(&rule.target);
  const auto* other_network = std::get_if<netns::Network>(&other.target);
  if (network != nullptr || other_network != nullptr)
    return network != nullptr && other_network != nullptr && network->contains(*other_network);
  const auto& name = std::get<netns::NamePattern>(rule.target);
  const auto& other_name = std::get<netns::NamePattern>(other.target);
  return name == other_name || (name.wildcard && name.matches(other_name.name));
}

/// Of rules of `allow`, bundles among them.
bool covers_host(std::string_view entry, std::string_view other) {
  const auto wide = netns::parse_rules({std::string(entry), {}}, false);
  const auto narrow = netns::parse_rules({std::string(other), {}}, false);
  if (!wide || !narrow) return false;
  return std::all_of(narrow->begin(), narrow->end(), [&](const netns::Rule& one) {
    return std::any_of(wide->begin(), wide->end(), [&](const netns::Rule& rule) {
      return covers_target(rule, one) && netns::subtract_ports(one.ports, rule.ports).empty();
    });
  });
}

// A key that is missing here widens, however it changes: environment.set can point an agent at
// another server, seccomp.rules need an evaluator, without an entry of docker.sockets another
// engine is asked, without the proxy's port and variables less is told about refusals, and what a
// later version adds is not known.
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
    {"environment.pass", Rule::grants, covers_variable},
    {"network.mode", Rule::stricter_first},
    {"network.allow", Rule::grants, covers_host},
    {"network.deny", Rule::refuses},
    {"network.upgrade", Rule::grants, covers_host},
    {"network.tls", Rule::stricter_first},
    {"network.tls_ports", Rule::refuses},
    {"network.allow_ech", Rule::stricter_first},
    {"network.allow_non_tls", Rule::stricter_first},
    {"network.host_ports", Rule::grants},
    {"network.publish", Rule::grants},
    {"network.limits", Rule::limits},
    {"seccomp.allow", Rule::grants},
    {"seccomp.deny", Rule::refuses},
    {"process.nested_userns", Rule::stricter_first},
    {"limits.nofile", Rule::at_most},
    {"limits.nproc", Rule::at_most},
    {"limits.fsize", Rule::at_most},
    {"limits.as", Rule::at_most},
    {"docker.binds", Rule::grants},
    {"docker.networks", Rule::grants},
    {"docker.images", Rule::grants},
    {"docker.capabilities", Rule::grants},
    {"docker.memory", Rule::at_most},
    {"docker.cpus", Rule::at_most},
    {"docker.pids", Rule::at_most},
    {"docker.shm_size", Rule::at_most},
    {"docker.max_containers", Rule::at_most},
    {"log.observe", Rule::stricter_last},  // permits the same, and tells more
    {"require.landlock", Rule::stricter_first},
    {"excluded", Rule::commands},
};

const Row* row_of(std::string_view key) {
  const std::size_t dot = key.find('.');
  if (dot == key.npos) return find_row("", key);
  return find_row(key.substr(0, dot), key.substr(dot + 1));
}

/// The rank of a value: lower is stricter. nullopt: not comparable.
std::optional<std::uint64_t> rank(const Row& row, Rule rule, const std::string& value) {
  if (rule == Rule::at_most) {
    return row.kind == Kind::text ? parse_cpus(value) : parse_size(value);
  }
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

/// Of the limits that cover a name the most specific one alone applies, and of two with the same
/// pattern the first: one more narrows where no wider one stood before, of which it would take a
/// name out.
Effect judge_limits(const Profile& before, const Profile& after, const Difference& one) {
  if (!one.added) return Effect::widens;
  auto parse = [](const std::string& text) {
    return netns::parse_hostname(std::string_view(text).substr(text.starts_with("*.") ? 2 : 0));
  };
  const auto limit = std::find_if(after.net_limits.begin(), after.net_limits.end(),
                                  [&](const NameLimit& l) { return l.origin == one.origin; });
  if (limit == after.net_limits.end()) return Effect::widens;
  const auto name = parse(limit->name);
  if (!name) return Effect::widens;
  const bool takes =
      std::any_of(before.net_limits.begin(), before.net_limits.end(), [&](const NameLimit& old) {
        const auto wider = parse(old.name);
        return !wider || (old.name.starts_with("*.") && name->is_beneath(*wider));
      });
  return takes ? Effect::widens : Effect::narrows;
}

template <class List, class Same>
bool is_subset(const List& list, const List& of, Same same) {
  return std::all_of(list.begin(), list.end(), [&](const auto& one) {
    return std::any_of(of.begin(), of.end(), [&](const auto& other) { return same(one, other); });
  });
}

/// Where 0 is no limit.
bool is_at_most(std::uint64_t now, std::uint64_t was) {
  return was == 0 || (now != 0 && now <= was);
}

/// Without a rule everything is permitted; with one, what an allow rule says and no deny rule.
bool permits_no_more(const Excluded& before, const Excluded& after) {
  auto same = [](const ArgvRule& a, const ArgvRule& b) { return a.text == b.text; };
  if (before.allow.empty() && before.deny.empty()) return true;
  if (after.allow.empty() && after.deny.empty()) return false;
  return is_subset(after.allow, before.allow, same) && is_subset(before.deny, after.deny, same);
}

Effect judge_command(const Excluded* before, const Excluded& after, const Profile& profile) {
  using broker::Mode;
  if (after.mode == Mode::inside) {
    // The filter replaces the variable that names the engine.
    const bool uncovers =
        before != nullptr && before->mode == Mode::filter &&
        (std::any_of(profile.env_pass.begin(), profile.env_pass.end(),
                     [](const Entry& e) { return covers_variable(e.text, "DOCKER_HOST"); }) ||
         std::any_of(profile.env_set.begin(), profile.env_set.end(),
                     [](const Assignment& a) { return a.name == "DOCKER_HOST"; }));
    return uncovers ? Effect::widens : Effect::narrows;
  }
  if (before == nullptr || after.mode != before->mode || after.profile != before->profile)
    return Effect::widens;
  const bool less = permits_no_more(*before, after) &&
                    is_subset(after.env, before->env, std::equal_to<>()) &&
                    is_subset(after.sessions, before->sessions, std::equal_to<>()) &&
                    after.sessions.empty() == before->sessions.empty() &&  // none: the usual ones
                    is_at_most(after.max_concurrent, before->max_concurrent) &&
                    is_at_most(after.timeout, before->timeout);
  return less ? Effect::narrows : Effect::widens;
}

/// All that differs in the record of one command has the same effect.
Effect judge_commands(const Profile& before, const Profile& after, const Difference& one) {
  auto find = [&](const Profile& profile) -> const Excluded* {
    for (const Excluded& record : profile.excluded) {
      if (one.value.starts_with(escape_for_terminal(record.command) + ": ")) return &record;
    }
    return nullptr;
  };
  const Excluded* now = find(after);
  return now == nullptr ? Effect::widens : judge_command(find(before), *now, after);
}

bool is_covered(const Profile& before, const Row& row, const KeyRule& rule, std::string_view text) {
  if (rule.covers == nullptr) return false;
  const auto& list = before.*std::get<std::vector<Entry> Profile::*>(row.target);
  return std::any_of(list.begin(), list.end(),
                     [&](const Entry& entry) { return rule.covers(entry.text, text); });
}

Effect judge(const Profile& before, const Profile& after, const std::vector<Difference>& all,
             const Difference& one) {
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
      return one.added && !is_covered(before, *row, *found, one.value) ? Effect::widens
                                                                       : Effect::narrows;
    case Rule::refuses:
      return one.added ? Effect::narrows : Effect::widens;
    case Rule::limits:
      return judge_limits(before, after, one);
    case Rule::commands:
      return judge_commands(before, after, one);
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
  for (const Difference& one : all) out.push_back({one, judge(before, after, all, one)});
  return out;
}

}  // namespace dirbox::profiles
