#pragma once
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/origin.h"
#include "launcher/base/result.h"

/// Which arguments of an excluded command are permitted. Values and pure functions;
/// dirbox-broker(5) describes the grammar of the rules.
namespace dirbox::broker {

enum class Mode {
  host,     ///< the command runs on the host
  filter,   ///< it runs inside, against a filtered API of its daemon
  grammar,  ///< it runs on the host with arguments rebuilt from a closed grammar
  inside,   ///< it is not brokered
};

/// One option in a rule.
struct FlagPattern {
  std::string name;                  ///< as in ParsedFlag
  std::optional<std::string> value;  ///< pattern; none: any value
  bool required = false;             ///< not in brackets
  bool global = false;               ///< stands before the subcommand
};

/// A synopsis, parsed. Made by parse_rule.
struct Rule {
  std::string text;
  Origin origin;
  std::string reason;  ///< shown to the caller when a deny rule matches; may be empty
  std::optional<std::string> subcommand;  ///< none: any; "": there is none
  std::vector<FlagPattern> flags;
  bool any_flag = false;              ///< "[-*]"
  std::vector<std::string> operands;  ///< patterns, in order
  bool more_operands = false;         ///< "..." at the end
};

struct Policy {
  std::string command;
  Mode mode = Mode::host;
  std::vector<Rule> allow;
  std::vector<Rule> deny;
  std::vector<std::string> env;     ///< variables that the sandbox may set, see check_passable
  unsigned max_concurrent = 0;      ///< 0: only the broker's own limit
  std::chrono::seconds timeout{0};  ///< 0: none
  Origin origin;                    ///< of the [[excluded]] table or of --exclude
};

enum class RuleKind { allow, deny };

/// Errors say what is wrong with the text: an option or subcommand that the command's table does
/// not have, brackets in a deny rule, a deny rule for a command without a table, "..." before the
/// end.
Result<Rule> parse_rule(std::string_view command, RuleKind kind, std::string_view text,
                        Origin origin, std::string reason = {});

struct Decision {
  bool allowed = false;
  std::string rule;    ///< text of the rule that decided; "" when none did
  Origin origin;       ///< of that rule, else of the policy
  std::string reason;  ///< for a refusal, a sentence for the caller
};

/// `arguments` are those after the command's name. Without rules everything is permitted. With
/// rules: arguments that cannot be parsed are refused; else the first deny rule that matches
/// refuses; else the first allow rule that matches permits; else they are refused.
Decision decide(const Policy& policy, std::span<const std::string> arguments);

/// One line for the caller: `refused: REASON (rule "…", FILE:LINE)`. Not escaped.
std::string explain_refusal(const Decision& decision);

/// Whether `text` matches `pattern`: "*" alone or "<…>" matches everything; in a longer pattern "*"
/// matches a run of characters without '/', "**" any run, and a `text` with a ".." component
/// matches nothing. With `broad` (deny rules) "*" matches '/' as well, and "..", wherever it may
/// lead, matches every pattern that has a '/'.
bool matches_pattern(std::string_view pattern, std::string_view text, bool broad);

}  // namespace dirbox::broker
