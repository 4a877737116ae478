#include <fmt/format.h>

#include "launcher/cli/completion.h"

namespace dirbox::cli {
namespace {

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
    case Offer::directories:
      return " -f -a '(__fish_complete_directories (commandline -ct))'";
    case Offer::variables:
      return " -f -a '(set -nx)'";
    case Offer::words:
      return " -f -a " + fish_quote(spaced(std::string(value)));
    default:
      return " -f";
  }
}

std::string fish_words(const Shape& shape) {
  const bool words = offer_for(shape.word) == Offer::words;
  const bool two = words || !shape.follows.empty();
  const std::string none =
      words ? fmt::format("; and not __dirbox_has {}", spaced(shape.word)) : std::string();
  std::string out = fmt::format("complete -c dirbox -n '{} {}{}'{}\n",
                                two && !words ? "__dirbox_ends_at" : "__dirbox_at", shape.command,
                                none, fish_action(shape.word));
  for (const Follow& follow : shape.follows) {
    const std::string when = words ? fmt::format("; and __dirbox_has {}", follow.first)
                                   : fmt::format("; and not __dirbox_ends_at {}", shape.command);
    out += fmt::format("complete -c dirbox -n '__dirbox_at {}{}'{}\n", shape.command, when,
                       fish_action(follow.value));
  }
  return out;
}

}  // namespace

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
function __dirbox_has
    set -l words (commandline -opc)
    set -e words[1]
    set -e words[1]
    for word in $words
        contains -- $word $argv; and return 0
    end
    return 1
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
      out += fmt::format("complete -c dirbox -n '__dirbox_ends_at help {}' -a {}\n", shape.parent(),
                         shape.verb());
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
    if (!shape.word.empty()) out += fish_words(shape);
  }
  return out;
}

}  // namespace dirbox::cli
