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
  for (const Option& option : syntax.options) names.push_back(names_of(option).back());
  return names;
}

int complain(const Syntax& syntax, const std::string& what, const std::string& hint = {}) {
  fmt::print(stderr, "dirbox: {}: {}\nusage: {}\n", command_of(syntax), what, syntax.usage);
  if (!hint.empty()) fmt::print(stderr, "hint: {}\n", hint);
  return kFailed;
}

const Option* find_option(const Syntax& syntax, std::string_view word) {
  for (const Option& option : syntax.options) {
    for (std::string_view name : names_of(option)) {
      if (word == name) return &option;
    }
  }
  return nullptr;
}

/// The position of the first word that is neither an option nor the value of one; the end where an
/// option is unknown.
std::size_t first_word(const Syntax& syntax, const std::vector<std::string>& words) {
  std::size_t at = 0;
  while (at < words.size() && words[at].starts_with("-")) {
    const std::string& word = words[at];
    const bool is_long = word.starts_with("--");
    const std::size_t end = is_long ? std::min(word.find('='), word.size()) : 2;
    const Option* option = find_option(syntax, std::string_view(word).substr(0, end));
    if (option == nullptr) return words.size();
    const bool value_follows = *option->value != '\0' && end >= word.size();
    at += value_follows ? 2 : 1;
  }
  return std::min(at, words.size());
}

/// `run -p x ls -l`: the same line with the "--" that it lacks.
int complain_command(const Syntax& syntax, const Arguments& arguments, std::size_t at) {
  std::string line = "dirbox " + command_of(syntax);
  for (std::size_t i = 0; i < arguments.own.size(); ++i) {
    line += (i == at ? " -- " : " ") + shell_quote(arguments.own[i]);
  }
  if (arguments.has_command) line += " --";
  for (const std::string& word : arguments.command) line += " " + shell_quote(word);
  return complain(syntax,
                  fmt::format("unexpected argument: {}: a command goes behind --",
                              escape_for_terminal(arguments.own[at])),
                  escape_for_terminal(line));
}

/// What CLI11 did not recognise; it has no suggestions.
int check_known(const Syntax& syntax, const CLI::App& app) {
  for (const std::string& word : app.remaining()) {
    std::string name = word.substr(0, word.find('='));
    if (name.starts_with("-")) {
      return complain(syntax, fmt::format("unknown option: {}{}", escape_for_terminal(name),
                                          did_you_mean(name, long_names(syntax))));
    }
    return complain(syntax, fmt::format("unexpected argument: {}", escape_for_terminal(word)));
  }
  for (const Positional& positional : syntax.positionals) {
    const std::size_t count = positional.target->size();
    if (count < positional.min) {
      return complain(syntax, fmt::format("{} takes {}{}, not {}", positional.name,
                                          positional.max > positional.min ? "at least " : "",
                                          positional.min, count));
    }
    if (count > positional.max) {
      return complain(syntax,
                      fmt::format("unexpected argument: {}",
                                  escape_for_terminal((*positional.target)[positional.max])));
    }
    const auto& words = *positional.target;
    if (std::count(words.begin(), words.end(), "") != 0)
      return complain(syntax, fmt::format("{}: an empty word", positional.name));
  }
  return -1;
}

/// `-p "$PROFILE"` with the variable unset must not be a run without -p. An element of a list says
/// by itself what is wrong with it.
int check_values(const Syntax& syntax, const CLI::App& app) {
  for (const Option& option : syntax.options) {
    const auto* const* text = std::get_if<std::string*>(&option.target);
    const std::string name(names_of(option).back());
    if (text != nullptr && (*text)->empty() && app.get_option(name)->count() != 0)
      return complain(syntax, fmt::format("{}: an empty {}", name, option.value));
  }
  return -1;
}

int check_exclusive(const Syntax& syntax, const CLI::App& app) {
  const auto given = [&](std::string_view name) {
    for (const Positional& positional : syntax.positionals) {
      if (name == positional.name) return !positional.target->empty();
    }
    return app.get_option(std::string(name))->count() != 0;
  };
  for (const auto& [one, other] : syntax.exclusive) {
    if (given(one) && given(other))
      return complain(syntax, fmt::format("{} and {}: one of the two at a time", one, other));
  }
  return -1;
}

void add_option(CLI::App& app, const Option& option) {
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

}  // namespace

std::string command_of(const Syntax& syntax) {
  std::string_view rest = syntax.usage;
  std::string command;
  for (;;) {
    rest.remove_prefix(std::min(rest.find(' '), rest.size()));
    if (rest.size() < 2 || rest[1] < 'a' || rest[1] > 'z') return command;
    rest.remove_prefix(1);
    std::string_view word = rest.substr(0, rest.find(' '));
    if (word.find('|') != word.npos) return command;
    command += (command.empty() ? "" : " ") + std::string(word);
  }
}

std::vector<std::string_view> names_of(const Option& option) {
  std::vector<std::string_view> names;
  for (std::string_view rest = option.names; !rest.empty();) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    names.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return names;
}

int parse_options(const Syntax& syntax, const Arguments& arguments) {
  if (arguments.describe != nullptr) {
    (*arguments.describe)(syntax);
    return 0;
  }
  const std::vector<std::string>& own = arguments.own;
  if (std::any_of(own.begin(), own.end(),
                  [](const std::string& word) { return word == "-h" || word == "--help"; })) {
    fmt::print("{}", help_text(syntax));
    return 0;
  }
  if (arguments.has_command && !syntax.takes_command) {
    return complain(syntax, "no command is expected behind --",
                    "to run one: dirbox run -- COMMAND");
  }
  if (own.empty() && syntax.positionals.empty()) return -1;  // CLI11 is not free
  const bool only_command = syntax.takes_command && syntax.positionals.empty();
  if (const std::size_t at = first_word(syntax, own); at < own.size() && only_command) {
    return complain_command(syntax, arguments, at);
  }
  try {
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    for (const Option& option : syntax.options) add_option(app, option);
    for (const Positional& positional : syntax.positionals) {
      app.add_option("words", *positional.target);
    }
    app.parse(std::vector<std::string>(own.rbegin(), own.rend()));
    if (const int status = check_known(syntax, app); status >= 0) return status;
    if (const int status = check_values(syntax, app); status >= 0) return status;
    return check_exclusive(syntax, app);
  } catch (const CLI::ArgumentMismatch& error) {
    std::string what = error.what();  // "--profile: 1 required TEXT missing"
    if (what.ends_with(" missing")) what = what.substr(0, what.find(':')) + " takes a value";
    return complain(syntax, escape_for_terminal(what));
  } catch (const CLI::ParseError& error) {
    return complain(syntax, escape_for_terminal(error.what()));
  }
}

}  // namespace dirbox::cli
