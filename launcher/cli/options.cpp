#include "launcher/cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "launcher/base/text.h"

namespace dirbox::cli {
namespace {

std::string help_text(const Syntax& syntax) {
  std::string text = fmt::format("usage: {}\n\n{}\n", syntax.usage, syntax.summary);
  Table table;
  for (const Positional& positional : syntax.positionals)
    table.add({positional.name, positional.doc});
  for (const Option& option : syntax.options) {
    std::string names = option.names;
    if (std::size_t comma = names.find(','); comma != std::string::npos)
      names.insert(comma + 1, " ");
    if (*option.value != '\0') names += std::string(" ") + option.value;
    table.add({names, option.doc});
  }
  table.add({"-h, --help", "this text"});
  return text + "\n" + table.render(2);
}

std::vector<std::string_view> long_names(const Syntax& syntax) {
  std::vector<std::string_view> names;
  for (const Option& option : syntax.options) {
    std::string_view name = option.names;
    names.push_back(name.substr(name.find("--")));
  }
  return names;
}

/// "run --profile", a line for each name of each option. The usage's second word is the subcommand.
void list_options(const Syntax& syntax) {
  std::string_view command = syntax.usage;
  command.remove_prefix(command.find(' ') + 1);
  command = command.substr(0, command.find(' '));
  for (const Option& option : syntax.options) {
    for (std::string_view names = option.names; !names.empty();) {
      std::size_t end = std::min(names.find(','), names.size());
      fmt::print("{} {}\n", command, names.substr(0, end));
      names.remove_prefix(std::min(end + 1, names.size()));
    }
  }
}

int complain(const Syntax& syntax, const std::string& what) {
  fmt::print(stderr, "dirbox: {}\nusage: {}\n", what, syntax.usage);
  return kFailed;
}

/// CLI11 reports unknown words without a suggestion; ours come first.
int check_known(const Syntax& syntax, const CLI::App& app) {
  for (const std::string& word : app.remaining()) {
    std::string name = word.substr(0, word.find('='));
    if (name.starts_with("-")) {
      return complain(syntax, fmt::format("unknown option: {}{}", escape_for_terminal(name),
                                          did_you_mean(name, long_names(syntax))));
    }
    return complain(syntax, fmt::format("unexpected argument: {} (a command goes behind --)",
                                        escape_for_terminal(word)));
  }
  return -1;
}

}  // namespace

int parse_options(const Syntax& syntax, const std::vector<std::string>& arguments) {
  if (arguments.empty()) return -1;
  if (arguments.front() == kListOptions) {
    list_options(syntax);
    return 0;
  }
  if (std::find_if(arguments.begin(), arguments.end(), [](const std::string& a) {
        return a == "-h" || a == "--help";
      }) != arguments.end()) {
    fmt::print("{}", help_text(syntax));
    return 0;
  }
  try {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    for (const Option& option : syntax.options) {
      if (auto* flag = std::get_if<bool*>(&option.target)) {
        app.add_flag(option.names, **flag);
      } else if (auto* text = std::get_if<std::string*>(&option.target)) {
        app.add_option(option.names, **text)->take_last();
      } else {
        app.add_option(option.names, *std::get<std::vector<std::string>*>(option.target))
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      }
    }
    for (const Positional& positional : syntax.positionals) {
      app.add_option(positional.name, *positional.target);
    }
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
    return check_known(syntax, app);
  } catch (const CLI::ParseError& error) {
    return complain(syntax, escape_for_terminal(error.what()));
  }
}

}  // namespace dirbox::cli
