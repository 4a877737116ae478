// Rule texts, and arguments against them. Lines: the command, an allow rule, a deny rule, then one
// argument each. What a deny rule refuses stays refused whatever else is allowed, and options are
// never guessed.
#include <cstdlib>
#include <string>

#include "launcher/broker/options.h"
#include "launcher/broker/policy.h"

using namespace dirbox::broker;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> lines;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (;;) {
    std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  if (lines.size() < 3) return 0;
  Policy policy;
  policy.command = lines[0];
  auto allow = parse_rule(lines[0], RuleKind::allow, lines[1], {});
  auto deny = parse_rule(lines[0], RuleKind::deny, lines[2], {});
  std::span<const std::string> arguments(lines.data() + 3, lines.size() - 3);
  if (allow) policy.allow.push_back(*allow);
  bool before = decide(policy, arguments).allowed;
  if (deny) {
    policy.deny.push_back(*deny);
    if (decide(policy, arguments).allowed && !before) std::abort();
  }
  const CommandTable* table = find_command_table(lines[0]);
  if (table == nullptr) return 0;
  auto parsed = parse_options(*table, arguments);
  bool ruled = !policy.allow.empty() || !policy.deny.empty();
  if (!parsed && ruled && decide(policy, arguments).allowed) std::abort();
  return 0;
}
