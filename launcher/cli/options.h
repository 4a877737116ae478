#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/cli/command.h"

/// The door to CLI11: subcommands describe their options as rows.
namespace dirbox::cli {

using Target = std::variant<bool*, std::string*, std::vector<std::string>*>;

struct Option {
  const char* names;  ///< "-p,--profile"
  const char* value;  ///< what the value is called in the help; "" for a flag
  const char* doc;
  Target target;
};

struct Positional {
  const char* name;
  const char* doc;
  std::vector<std::string>* target;
};

/// What a subcommand takes in front of "--".
struct Syntax {
  const char* usage;  ///< "dirbox run [OPTION…] -- COMMAND [ARG…]"
  const char* summary;
  std::vector<Option> options;
  std::vector<Positional> positionals = {};
};

/// Parses `arguments`. Returns an exit status when the subcommand shall end with it: 0 after
/// --help, kFailed after a message about what is wrong; -1 to go on.
int parse_options(const Syntax& syntax, const std::vector<std::string>& arguments);

}  // namespace dirbox::cli
