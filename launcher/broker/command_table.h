#pragma once
#include <span>
#include <string_view>

/// What the options of some commands look like: data for options.h.
namespace dirbox::broker {

/// How short options carry a value in the same word.
enum class Style {
  pflag,   ///< Go's: -v=X and -vX are the same
  getopt,  ///< -v=X would be the value "=X"; refused, because nobody means that
};

/// One subcommand. `flags` is a comma-separated list: "all" takes no value, "filter=" takes one (in
/// the same word or the next), "color?" may have one in the same word. "f|filter=" names both
/// spellings; the longer one is the name that rules are compared by. Options that start programs,
/// or whose form differs between versions, are left out: an unknown option is refused.
struct SubcommandRow {
  std::string_view path;  ///< "" for the options before the subcommand; "image inspect"
  std::string_view flags;
  bool stops = false;  ///< everything from the first operand on is an operand
};

struct AliasRow {
  std::string_view path, canonical;
};

struct CommandTable {
  std::string_view command;
  Style style;
  std::span<const SubcommandRow> rows;
  std::span<const AliasRow> aliases;
  /// A subcommand with a table of its own ("compose"), or "".
  std::string_view nested_path;
  const CommandTable* nested = nullptr;
  /// No argument may end in this (tmux: ";" starts another command), or "".
  std::string_view refused_suffix;
};

/// nullptr for a command whose options are not known here.
const CommandTable* find_command_table(std::string_view command);

/// The row of `path` after aliases; nullptr when there is none.
const SubcommandRow* find_subcommand(const CommandTable& table, std::string_view path);
/// True when `path` is the first word of some two-word subcommand.
bool is_subcommand_group(const CommandTable& table, std::string_view path);

}  // namespace dirbox::broker
