#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/cli/command.h"
#include "launcher/cli/options.h"

/// Completion scripts, generated from the option tables.
namespace dirbox::cli {

struct Flag {
  std::vector<std::string> names;
  std::string value;  ///< "" for none
  std::string doc;
};

/// A Syntax, copied: its rows live only while it is shown.
struct Shape {
  std::string command;  ///< "run", "profile show"
  std::string summary;
  std::vector<Flag> flags;
  std::string word;  ///< what a positional is called; "" for none
  std::vector<Follow> follows;
  bool takes_command;

  std::string parent() const { return command.substr(0, command.find(' ')); }
  bool is_verb() const { return command.find(' ') != command.npos; }
  std::string verb() const { return command.substr(command.find(' ') + 1); }
};

enum class Offer { nothing, profiles, files, directories, variables, words };

/// What fits the name of a value or of a positional; see Syntax.
Offer offer_for(std::string_view value);
/// "a|b" -> "a b"
std::string spaced(std::string text);

std::string fish_script(const std::vector<Shape>& shapes);

}  // namespace dirbox::cli
