#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/broker/command_table.h"

/// The argv of a known command, taken apart the way the command itself will.
namespace dirbox::broker {

enum class Arity { none, required, optional };
struct FlagSpec {
  std::string_view name;  ///< the long spelling where there is one, without dashes
  Arity arity = Arity::none;
};
/// The option spelled `word` ("f" or "filter", without dashes) in `flags` of a row. Every
/// subcommand knows "help".
std::optional<FlagSpec> find_flag(std::string_view flags, std::string_view word);

struct ParsedFlag {
  std::string name;
  std::optional<std::string> value;
  bool global = false;  ///< stood before the subcommand
};

struct ParsedCommand {
  std::string subcommand;  ///< canonical; "" when there was none
  std::vector<ParsedFlag> flags;
  std::vector<std::string> operands;
};

/// `arguments` are those after the command's name. Anything that the table does not describe is an
/// error whose detail says what: an unknown option or subcommand, a missing value, a form that
/// versions of the command read differently.
Result<ParsedCommand> parse_options(const CommandTable& table,
                                    std::span<const std::string> arguments);

}  // namespace dirbox::broker
