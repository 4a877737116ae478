#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"
#include "launcher/cli/completion.h"

namespace dirbox::cli {

Offer offer_for(std::string_view value) {
  if (value == "NAME|FILE" || value.starts_with("PROFILE")) return Offer::profiles;
  if (value.find("PATH") != value.npos || value.find("FILE") != value.npos) return Offer::files;
  if (value == "DIR") return Offer::directories;
  if (value == "NAME[=VALUE]") return Offer::variables;
  const bool words = value.find('|') != value.npos && value.front() >= 'a';
  return words ? Offer::words : Offer::nothing;
}

std::string spaced(std::string text) {
  std::replace(text.begin(), text.end(), '|', ' ');
  return text;
}

namespace {

std::vector<Shape> all_shapes() {
  std::vector<Shape> shapes;
  describe_all([&](const Syntax& syntax) {
    Shape shape{command_of(syntax), syntax.summary, {}, "", {}, syntax.takes_command};
    for (const Option& option : syntax.options) {
      auto names = names_of(option);
      shape.flags.push_back({{names.begin(), names.end()}, option.value, option.doc});
    }
    shape.flags.push_back({{"-h", "--help"}, "", "a summary of the options"});
    if (!syntax.positionals.empty()) {
      shape.word = syntax.positionals.front().name;
      shape.follows = syntax.positionals.front().follows;
    }
    shapes.push_back(std::move(shape));
  });
  return shapes;
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
    case Offer::directories:
      return "_dirbox_directories \"$cur\"";
    case Offer::variables:
      return "mapfile -t COMPREPLY < <(compgen -v -- \"$cur\")";
    case Offer::words:
      return fmt::format("_dirbox_words \"$cur\" {}", spaced(std::string(value)));
    default:
      return ":";
  }
}

/// What is offered for a word that is no option.
std::string bash_word(const Shape& shape) {
  std::string first = bash_offer(shape.word);
  if (offer_for(shape.word) == Offer::words) {
    std::string then;
    for (const Follow& follow : shape.follows)
      then += fmt::format("{}) {} ;; ", follow.first, bash_offer(follow.value));
    return fmt::format("case $(_dirbox_first {}) in '') {} ;; {}esac", spaced(shape.word), first,
                       then);
  }
  if (shape.follows.empty()) return first;
  return fmt::format("if ((COMP_CWORD > {})); then {}; else {}; fi", shape.is_verb() ? 3 : 2,
                     bash_offer(shape.follows.front().value), first);
}

std::string bash_script(const std::vector<Shape>& shapes) {
  std::string names, verbs, values, flags, words, helps;
  for (const Subcommand& subcommand : subcommands()) names += std::string(subcommand.name) + " ";
  for (const auto& [parent, children] : verbs_of(shapes)) {
    std::string list;
    for (const Shape* child : children) list += " " + child->verb();
    helps += fmt::format("      {}) _dirbox_words \"$cur\"{} ;;\n", parent, list);
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
      words += fmt::format("    '{}') {} ;;\n", shape.command, bash_word(shape));
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
_dirbox_directories() {{
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -d -- "$1")
}}
_dirbox_first() {{
  local i
  for ((i = 2; i < COMP_CWORD; i++)); do
    if [[ " $* " == *" ${{COMP_WORDS[i]}} "* ]]; then echo "${{COMP_WORDS[i]}}"; return; fi
  done
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
    help)
      if ((COMP_CWORD == 2)); then _dirbox_words "$cur" {names}; fi
      if ((COMP_CWORD != 3)); then return; fi
      case ${{COMP_WORDS[2]}} in
{helps}      esac
      return ;;
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
                     fmt::arg("flags", flags), fmt::arg("words", words), fmt::arg("helps", helps));
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
    case Offer::directories:
      return "_files -/";
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
  if (shape.word.empty()) return out;
  const bool words = offer_for(shape.word) == Offer::words;
  out += fmt::format(" \\\n        '{}:{}:{}'", words || !shape.follows.empty() ? "1" : "*",
                     zsh_escape(shape.word), zsh_action(shape.word));
  std::string cases;
  for (const Follow& follow : shape.follows) {
    if (words)
      cases += fmt::format("{}) {} ;; ", follow.first, zsh_action(follow.value));
    else
      out += fmt::format(" \\\n        '2:{0}:{1}'", follow.value, zsh_action(follow.value));
  }
  if (!cases.empty())
    out += fmt::format(" \\\n        '*:subject:{{ case ${{words[(r)({})]}} in {}esac }}'",
                       shape.word, cases);
  return out;
}

std::string zsh_script(const std::vector<Shape>& shapes) {
  std::string names, verbs, cases, helps;
  for (const Subcommand& subcommand : subcommands())
    names += fmt::format(" '{}:{}'", subcommand.name, zsh_escape(subcommand.summary));
  for (const auto& [parent, children] : verbs_of(shapes)) {
    std::string list;
    for (const Shape* child : children)
      list += fmt::format(" '{}:{}'", child->verb(), zsh_escape(child->summary));
    helps += fmt::format("        {}) list=({}) ;;\n", parent, list);
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
      if ((CURRENT == 2)); then
        list=({names})
        _describe subcommand list
      elif ((CURRENT == 3)); then
        case $words[2] in
{helps}        esac
        _describe verb list
      fi
      return ;;
{verbs}  esac
  case $name in
{cases}  esac
}}
if [[ ${{funcstack[1]}} == _dirbox ]]; then _dirbox "$@"; else compdef _dirbox dirbox; fi
)zsh",
                     fmt::arg("names", names), fmt::arg("verbs", verbs), fmt::arg("cases", cases),
                     fmt::arg("helps", helps));
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
