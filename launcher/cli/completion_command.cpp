#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"

/// Completion scripts, generated from the option tables.
namespace dirbox::cli {
namespace {

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
  bool takes_command;

  std::string parent() const { return command.substr(0, command.find(' ')); }
  bool is_verb() const { return command.find(' ') != command.npos; }
  std::string verb() const { return command.substr(command.find(' ') + 1); }
};

std::vector<Shape> all_shapes() {
  std::vector<Shape> shapes;
  describe_all([&](const Syntax& syntax) {
    Shape shape{command_of(syntax), syntax.summary, {}, "", syntax.takes_command};
    for (const Option& option : syntax.options) {
      auto names = names_of(option);
      shape.flags.push_back({{names.begin(), names.end()}, option.value, option.doc});
    }
    shape.flags.push_back({{"-h", "--help"}, "", "a summary of the options"});
    if (!syntax.positionals.empty()) shape.word = syntax.positionals.front().name;
    shapes.push_back(std::move(shape));
  });
  return shapes;
}

enum class Offer { nothing, profiles, files, variables, words };

Offer offer_for(std::string_view value) {
  if (value == "NAME|FILE" || value.starts_with("PROFILE")) return Offer::profiles;
  if (value.find("PATH") != value.npos || value.find("FILE") != value.npos) return Offer::files;
  if (value == "NAME[=VALUE]") return Offer::variables;
  const bool words = value.find('|') != value.npos && value.front() >= 'a';
  return words ? Offer::words : Offer::nothing;
}

/// "a|b" -> "a b"
std::string spaced(std::string text) {
  std::replace(text.begin(), text.end(), '|', ' ');
  return text;
}

/// Verbs of each subcommand that has some, in the order of the table.
std::vector<std::pair<std::string, std::vector<const Shape*>>> verbs_of(
    const std::vector<Shape>& shapes) {
  std::vector<std::pair<std::string, std::vector<const Shape*>>> parents;
  for (const Shape& shape : shapes) {
    if (!shape.is_verb()) continue;
    if (parents.empty() || parents.back().first != shape.parent())
      parents.emplace_back(shape.parent(), std::vector<const Shape*>{});
    parents.back().second.push_back(&shape);
  }
  return parents;
}

// bash --------------------------------------------------------------------------------------------

std::string bash_offer(std::string_view value) {
  switch (offer_for(value)) {
    case Offer::profiles:
      return "_dirbox_profiles \"$cur\"";
    case Offer::files:
      return "_dirbox_files \"$cur\"";
    case Offer::variables:
      return "mapfile -t COMPREPLY < <(compgen -v -- \"$cur\")";
    case Offer::words:
      return fmt::format("_dirbox_words \"$cur\" {}", spaced(std::string(value)));
    default:
      return ":";
  }
}

std::string bash_script(const std::vector<Shape>& shapes) {
  std::string names, verbs, values, flags, words;
  for (const Subcommand& subcommand : subcommands()) names += std::string(subcommand.name) + " ";
  for (const auto& [parent, children] : verbs_of(shapes)) {
    std::string list;
    for (const Shape* child : children) list += " " + child->verb();
    verbs += fmt::format(
        "    {0})\n      if ((COMP_CWORD == 2)); then _dirbox_words \"$cur\"{1}; return; fi\n"
        "      name=\"{0} ${{COMP_WORDS[2]}}\" ;;\n",
        parent, list);
  }
  for (const Shape& shape : shapes) {
    std::string list;
    for (const Flag& flag : shape.flags) {
      for (const std::string& name : flag.names) {
        list += " " + name;
        if (flag.value.empty()) continue;
        values += fmt::format("    '{}:{}') {}; return ;;\n", shape.command, name,
                              bash_offer(flag.value));
      }
    }
    flags += fmt::format("    '{}') _dirbox_words \"$cur\"{} ;;\n", shape.command,
                         list + (shape.takes_command ? " --" : ""));
    if (!shape.word.empty())
      words += fmt::format("    '{}') {} ;;\n", shape.command, bash_offer(shape.word));
  }
  return fmt::format(R"(# bash completion for dirbox(1), made by "dirbox completion bash".
_dirbox_words() {{
  local cur=$1
  shift
  mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
}}
_dirbox_files() {{
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$1")
}}
_dirbox_profiles() {{
  local names
  names=$("${{COMP_WORDS[0]}}" profile list --names 2>/dev/null)
  if [[ $1 == */* ]]; then _dirbox_files "$1"; else _dirbox_words "$1" $names; fi
}}
_dirbox() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} name=${{COMP_WORDS[1]}} i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ ${{COMP_WORDS[i]}} == -- ]] || continue
    if declare -F _command_offset >/dev/null; then
      _command_offset $((i + 1))
    elif ((COMP_CWORD == i + 1)); then
      mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    else
      _dirbox_files "$cur"
    fi
    return
  done
  if ((COMP_CWORD == 1)); then _dirbox_words "$cur" {names}help --help --version --; return; fi
  case $name in
    help) _dirbox_words "$cur" {names}; return ;;
{verbs}  esac
  case "$name:$prev" in
{values}  esac
  if [[ $cur == -* ]]; then
    case $name in
{flags}    esac
    return
  fi
  case $name in
{words}  esac
}}
complete -F _dirbox dirbox
)",
                     fmt::arg("names", names), fmt::arg("verbs", verbs), fmt::arg("values", values),
                     fmt::arg("flags", flags), fmt::arg("words", words));
}

// zsh ---------------------------------------------------------------------------------------------

std::string zsh_escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\'') {
      out += "'\\''";
      continue;
    }
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_action(std::string_view value) {
  switch (offer_for(value)) {
    case Offer::profiles:
      return "_dirbox_profiles";
    case Offer::files:
      return "_files";
    case Offer::variables:
      return "_parameters -g \"*export*\"";
    case Offer::words:
      return "(" + spaced(std::string(value)) + ")";
    default:
      return " ";
  }
}

std::string zsh_arguments(const Shape& shape) {
  std::string out = "_arguments -s -S";
  for (const Flag& flag : shape.flags) {
    for (const std::string& name : flag.names) {
      out += fmt::format(" \\\n        '*{}[{}]", name, zsh_escape(flag.doc));
      if (!flag.value.empty())
        out += fmt::format(":{}:{}", zsh_escape(flag.value), zsh_action(flag.value));
      out += "'";
    }
  }
  if (!shape.word.empty())
    out += fmt::format(" \\\n        '*:{}:{}'", zsh_escape(shape.word), zsh_action(shape.word));
  return out;
}

std::string zsh_script(const std::vector<Shape>& shapes) {
  std::string names, verbs, cases;
  for (const Subcommand& subcommand : subcommands())
    names += fmt::format(" '{}:{}'", subcommand.name, zsh_escape(subcommand.summary));
  for (const auto& [parent, children] : verbs_of(shapes)) {
    std::string list;
    for (const Shape* child : children)
      list += fmt::format(" '{}:{}'", child->verb(), zsh_escape(child->summary));
    verbs += fmt::format(R"(    {0})
      if ((CURRENT == 2)); then
        list=({1})
        _describe verb list
        return
      fi
      name="{0} $words[2]"
      shift words
      ((CURRENT--)) ;;
)",
                         parent, list);
  }
  for (const Shape& shape : shapes)
    cases += fmt::format("    '{}')\n      {} ;;\n", shape.command, zsh_arguments(shape));
  return fmt::format(R"zsh(#compdef dirbox
# zsh completion for dirbox(1), made by "dirbox completion zsh".
_dirbox_profiles() {{
  local -a names=(${{(f)"$(dirbox profile list --names 2>/dev/null)"}})
  _alternative 'profiles:profile:compadd -a names' 'files:file:_files'
}}
_dirbox() {{
  local name dash=${{words[(i)--]}}
  local -a list
  if ((dash < CURRENT)); then
    shift dash words
    ((CURRENT -= dash))
    _normal
    return
  fi
  if ((CURRENT == 2)); then
    list=({names} 'help:the options of a subcommand')
    _describe subcommand list
    return
  fi
  name=$words[2]
  shift words
  ((CURRENT--))
  case $name in
    help)
      list=({names})
      _describe subcommand list
      return ;;
{verbs}  esac
  case $name in
{cases}  esac
}}
if [[ ${{funcstack[1]}} == _dirbox ]]; then _dirbox "$@"; else compdef _dirbox dirbox; fi
)zsh",
                     fmt::arg("names", names), fmt::arg("verbs", verbs), fmt::arg("cases", cases));
}

// fish --------------------------------------------------------------------------------------------

std::string fish_quote(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish_action(std::string_view value) {
  switch (offer_for(value)) {
    case Offer::profiles:
      return " -F -a '(dirbox profile list --names 2>/dev/null)'";
    case Offer::files:
      return " -F";
    case Offer::variables:
      return " -f -a '(set -nx)'";
    case Offer::words:
      return " -f -a " + fish_quote(spaced(std::string(value)));
    default:
      return " -f";
  }
}

std::string fish_script(const std::vector<Shape>& shapes) {
  std::string out = R"(# fish completion for dirbox(1), made by "dirbox completion fish".
function __dirbox_at
    set -l words (commandline -opc)
    contains -- -- $words; and return 1
    set -e words[1]
    for word in $argv
        test "$words[1]" = $word; or return 1
        set -e words[1]
    end
end
function __dirbox_ends_at
    __dirbox_at $argv; and test (count (commandline -opc)) -eq (math 1 + (count $argv))
end
complete -c dirbox -f
complete -c dirbox -n 'contains -- -- (commandline -opc)' -F -a '(__fish_complete_command)'
)";
  for (const Subcommand& subcommand : subcommands()) {
    out += fmt::format("complete -c dirbox -n __dirbox_ends_at -a {} -d {}\n", subcommand.name,
                       fish_quote(subcommand.summary));
    out += fmt::format("complete -c dirbox -n '__dirbox_ends_at help' -a {}\n", subcommand.name);
  }
  for (const Shape& shape : shapes) {
    if (shape.is_verb()) {
      out += fmt::format("complete -c dirbox -n '__dirbox_ends_at {}' -a {} -d {}\n",
                         shape.parent(), shape.verb(), fish_quote(shape.summary));
    }
    for (const Flag& flag : shape.flags) {
      out += fmt::format("complete -c dirbox -n '__dirbox_at {}'", shape.command);
      for (const std::string& name : flag.names) {
        const bool is_long = name.starts_with("--");
        out += (is_long ? " -l " : " -s ") + name.substr(is_long ? 2 : 1);
      }
      if (!flag.value.empty()) out += " -r" + fish_action(flag.value);
      out += " -d " + fish_quote(flag.doc) + "\n";
    }
    if (!shape.word.empty()) {
      out += fmt::format("complete -c dirbox -n '__dirbox_at {}'{}\n", shape.command,
                         fish_action(shape.word));
    }
  }
  return out;
}

struct Shell {
  const char* name;
  std::string (*script)(const std::vector<Shape>&);
};
constexpr Shell kShells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

}  // namespace

int completion_command(const Arguments& arguments) {
  std::vector<std::string> words;
  int status = parse_options({"dirbox completion bash|zsh|fish",
                              "Prints a completion script for a shell.",
                              {},
                              {{"bash|zsh|fish", "the shell", &words, 1, 1}}},
                             arguments);
  if (status >= 0) return status;
  std::vector<std::string_view> names;
  for (const Shell& shell : kShells) {
    names.push_back(shell.name);
    if (words.front() != shell.name) continue;
    fmt::print("{}", shell.script(all_shapes()));
    return 0;
  }
  return report({"print a completion script", escape_for_terminal(words.front()), 0,
                 "no such shell" + did_you_mean(words.front(), names), "bash, zsh or fish"});
}

}  // namespace dirbox::cli
