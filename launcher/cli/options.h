#pragma once
#include <cstddef>
#include <cstdint>
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

/// What stands behind a positional's first word, for completion: `value` is named as those of
/// options are.
struct Follow {
  const char* first;  ///< "" for any
  const char* value;
};

/// Words that are not options; one row takes all of them. None may be empty: that is a variable of
/// the caller's that is not set.
struct Positional {
  const char* name;
  const char* doc;
  std::vector<std::string>* target;
  std::size_t min = 0;
  std::size_t max = SIZE_MAX;
  std::vector<Follow> follows = {};
};

/// An option, by its long name, and another one or a positional beside which it would be ignored.
struct Exclusive {
  const char *one, *other;
};

/// What a subcommand takes. The names of values and positionals tell completion what to offer:
/// those with PATH or FILE files, DIR directories, NAME|FILE profiles as well, "a|b|c" these words,
/// as the first one.
struct Syntax {
  const char* usage;  ///< "dirbox run [OPTION…] -- COMMAND [ARG…]"
  const char* summary;
  std::vector<Option> options;
  std::vector<Positional> positionals = {};
  bool takes_command = false;  ///< behind "--"
  std::vector<Exclusive> exclusive = {};
};

/// Parses `arguments`. Returns an exit status when the subcommand shall end with it: 0 after
/// --help or where only the Syntax was wanted, kFailed after a message about what is wrong; -1 to
/// go on. Every subcommand calls it before it does anything.
int parse_options(const Syntax& syntax, const Arguments& arguments);

/// "run", "profile show": the words behind "dirbox" in the usage.
std::string command_of(const Syntax& syntax);
/// {"-p", "--profile"}
std::vector<std::string_view> names_of(const Option& option);

}  // namespace dirbox::cli
