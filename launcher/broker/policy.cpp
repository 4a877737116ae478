#include "launcher/broker/policy.h"

#include <algorithm>

#include "launcher/broker/options.h"

namespace dirbox::broker {
namespace {

bool is_any(std::string_view pattern) {
  return pattern == "*" || (pattern.starts_with('<') && pattern.ends_with('>'));
}

/// "src:/dst" and "type=bind,src=.." are one argument: a path may begin and end at each of these.
constexpr std::string_view kPathEnds = "/:=,";

bool has_dotdot(std::string_view text) {
  constexpr std::string_view kUp = "..";
  auto is_end = [&](std::size_t at) { return kPathEnds.find(text[at]) != std::string_view::npos; };
  for (std::size_t at = text.find(kUp); at != text.npos; at = text.find(kUp, at + 1)) {
    const std::size_t after = at + kUp.size();
    if ((at == 0 || is_end(at - 1)) && (after == text.size() || is_end(after))) return true;
  }
  return false;
}

/// Longer arguments match no pattern with a wildcard: what matching may cost has a bound.
constexpr std::size_t kMaxMatched = 4096;

/// Every way through the pattern at once, so that time is |pattern| * |text|.
bool glob(std::string_view pattern, std::string_view text, bool cross_slash) {
  // reached[i]: the text so far matches the first i characters of the pattern.
  std::vector<bool> reached(pattern.size() + 1), next;
  auto skip_stars = [&pattern](std::vector<bool>& states) {
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (states[i] && pattern[i] == '*') states[i + 1] = true;
    }
  };
  reached[0] = true;
  skip_stars(reached);
  for (char c : text) {
    next.assign(pattern.size() + 1, false);
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (!reached[i]) continue;
      if (pattern[i] != '*') {
        if (pattern[i] == c) next[i + 1] = true;
        continue;
      }
      bool twin =
          (i > 0 && pattern[i - 1] == '*') || (i + 1 < pattern.size() && pattern[i + 1] == '*');
      if (twin || cross_slash || c != '/') next[i] = true;
    }
    skip_stars(next);
    reached.swap(next);
    if (std::find(reached.begin(), reached.end(), true) == reached.end()) return false;
  }
  return reached[pattern.size()];
}

bool matches_flag(const FlagPattern& pattern, const ParsedFlag& flag, bool broad) {
  if (pattern.name != flag.name) return false;
  if (!pattern.value) return true;
  return flag.value && matches_pattern(*pattern.value, *flag.value, broad);
}

bool matches_operands(const Rule& rule, const std::vector<std::string>& operands, bool broad) {
  if (operands.size() < rule.operands.size()) return false;
  if (operands.size() > rule.operands.size() && !rule.more_operands) return false;
  for (std::size_t i = 0; i < rule.operands.size(); ++i) {
    if (!matches_pattern(rule.operands[i], operands[i], broad)) return false;
  }
  return true;
}

bool permits(const Rule& rule, const ParsedCommand& command) {
  if (rule.subcommand && *rule.subcommand != command.subcommand) return false;
  for (const ParsedFlag& flag : command.flags) {
    bool listed = std::any_of(rule.flags.begin(), rule.flags.end(), [&](const FlagPattern& p) {
      return p.global == flag.global && matches_flag(p, flag, false);
    });
    bool any = rule.any_flag && (!rule.subcommand || !flag.global);
    if (!listed && !any) return false;
  }
  for (const FlagPattern& pattern : rule.flags) {
    if (!pattern.required) continue;
    bool present =
        std::any_of(command.flags.begin(), command.flags.end(), [&](const ParsedFlag& f) {
          return pattern.global == f.global && matches_flag(pattern, f, false);
        });
    // Every occurrence is checked, so that a later one cannot undo the one that was required.
    bool contradicted =
        std::any_of(command.flags.begin(), command.flags.end(), [&](const ParsedFlag& f) {
          return pattern.global == f.global && pattern.name == f.name &&
                 !std::any_of(rule.flags.begin(), rule.flags.end(), [&](const FlagPattern& p) {
                   return p.global == f.global && matches_flag(p, f, false);
                 });
        });
    if (!present || contradicted) return false;
  }
  return matches_operands(rule, command.operands, false);
}

bool forbids(const Rule& rule, const ParsedCommand& command) {
  if (rule.subcommand && *rule.subcommand != command.subcommand) return false;
  for (const FlagPattern& pattern : rule.flags) {
    bool present =
        std::any_of(command.flags.begin(), command.flags.end(), [&](const ParsedFlag& f) {
          return (!rule.subcommand || pattern.global == f.global) && matches_flag(pattern, f, true);
        });
    if (!present) return false;
  }
  return rule.operands.empty() || matches_operands(rule, command.operands, true);
}

/// For commands without a table: words in order, none of which is taken for an option.
bool permits_words(const Rule& rule, std::span<const std::string> arguments) {
  if (arguments.size() < rule.operands.size()) return false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    bool wild = i >= rule.operands.size() || rule.operands[i].find('*') != std::string::npos ||
                is_any(rule.operands[i]);
    if (wild && arguments[i].starts_with('-')) return false;
  }
  return matches_operands(rule, {arguments.begin(), arguments.end()}, false);
}

Decision decided(bool allowed, const Rule& rule) {
  std::string reason = rule.reason;
  if (!allowed && reason.empty()) reason = "the profile denies it";
  return {allowed, rule.text, rule.origin, allowed ? std::string() : reason};
}

Decision refused(const Policy& policy, std::string reason) {
  return {false, {}, policy.origin, std::move(reason)};
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view text, bool broad) {
  if (is_any(pattern)) return true;
  bool wild = pattern.find('*') != std::string_view::npos;
  if (!wild && pattern == text) return true;
  if (!wild) return broad && pattern.starts_with('/') && has_dotdot(text);
  if (has_dotdot(text)) return broad && pattern.find('/') != std::string_view::npos;
  if (text.size() > kMaxMatched) return broad;
  return glob(pattern, text, broad);
}

Decision decide(const Policy& policy, std::span<const std::string> arguments) {
  if (policy.allow.empty() && policy.deny.empty()) return {true, {}, policy.origin, {}};
  const CommandTable* table = find_command_table(policy.command);
  if (table == nullptr) {
    for (const Rule& rule : policy.allow) {
      if (permits_words(rule, arguments)) return decided(true, rule);
    }
    return refused(policy, "no allow rule of the profile matches these arguments");
  }
  auto command = parse_options(*table, arguments);
  if (!command) {
    const Error& error = command.error();
    constexpr std::size_t kShown = 100;
    return refused(policy, "\"" + error.operand.substr(0, kShown) + "\" is " + error.detail);
  }
  for (const Rule& rule : policy.deny) {
    if (forbids(rule, *command)) return decided(false, rule);
  }
  for (const Rule& rule : policy.allow) {
    if (permits(rule, *command)) return decided(true, rule);
  }
  return refused(policy, "no allow rule of the profile matches these arguments");
}

std::string explain_refusal(const Decision& decision) {
  std::string out = "refused: " + decision.reason;
  std::string where = decision.origin.text();
  if (!decision.rule.empty()) {
    out += " (rule \"" + decision.rule + "\"" + (where.empty() ? "" : ", " + where) + ")";
  } else if (!where.empty()) {
    out += " (" + where + ")";
  }
  return out;
}

}  // namespace dirbox::broker
