#include "launcher/broker/tmux/grammar.h"

#include <algorithm>

#include "launcher/broker/options.h"
#include "launcher/broker/policy.h"

/// Theory of operation. options.h takes the arguments apart as tmux does; what is not in its table
/// is refused there. Here each verb has a row of the options that it may have. What leaves is built
/// from the parsed request, word by word, with targets that match exactly, so that nothing of the
/// caller's spelling reaches tmux but names, numbers, keys and text.
namespace dirbox::broker::tmux {
namespace {

constexpr std::string_view kDoing = "tmux";
constexpr std::size_t kMaxName = 64;

struct VerbRow {
  std::string_view verb;
  std::string_view options;   ///< that it may have
  std::string_view required;  ///< that it must have
  Need need = Need::nothing;
  std::size_t least = 0, most = 0;  ///< operands
};
constexpr std::size_t kAny = ~std::size_t{0};
constexpr VerbRow kVerbs[] = {
    {"", "V", "V"},
    {"has-session", "t", "t", Need::sees_session},
    {"new-session", "dscnxy", "ds", Need::nothing, 0, kAny},
    {"new-window", "adnct", "t", Need::sees_session, 0, kAny},
    {"send-keys", "lt", "t", Need::owns_pane, 1, kAny},
    {"capture-pane", "peJSEt", "pt", Need::sees_window},
    {"list-sessions", "F", ""},
    {"list-windows", "Ft", "t", Need::sees_session},
    {"list-panes", "Fst", "t", Need::sees_window},
    {"kill-pane", "t", "t", Need::owns_pane},
    {"kill-window", "t", "t", Need::owns_window},
    {"kill-session", "t", "t", Need::owns_session},
    {"select-window", "t", "t", Need::owns_window},
    {"display-message", "pt", "pt", Need::sees_window, 1, 1},
};

/// Variables whose values are names, numbers and states.
constexpr std::string_view kVariables[] = {
    "session_name",   "session_id",   "session_windows",      "session_attached", "session_created",
    "window_name",    "window_id",    "window_index",         "window_active",    "window_flags",
    "window_panes",   "window_width", "window_height",        "pane_id",          "pane_index",
    "pane_active",    "pane_dead",    "pane_width",           "pane_height",      "pane_title",
    "pane_in_mode",   "history_size", "pane_current_command", "cursor_x",         "cursor_y",
    "window_activity"};
constexpr std::string_view kShort = "SWIPDFT";  // the same in one letter

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}
bool is_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), is_name_character);
}

Failure refuse(std::string_view operand, std::string_view why) {
  constexpr std::size_t kShown = 100;
  return fail(kDoing, operand.substr(0, kShown), why);
}

Result<void> check_words(std::span<const std::string> arguments) {
  for (const std::string& word : arguments) {
    if (word.ends_with(';'))
      return refuse(word, "an argument that ends in \";\" begins another command");
    if (word.find("#(") != word.npos) return refuse(word, "\"#(\" would run a program on the host");
    if (word.find('\0') != word.npos) return refuse(word, "a NUL byte");
  }
  return {};
}

const VerbRow* find_verb(std::string_view verb) {
  const auto* row = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                 [&](const VerbRow& r) { return r.verb == verb; });
  return row == std::end(kVerbs) ? nullptr : row;
}

bool is_line_number(std::string_view text) {
  if (text == "-") return true;
  if (text.starts_with('-')) text.remove_prefix(1);
  return is_digits(text) && text.size() <= 9;
}

Result<void> take_option(Request& request, const ParsedFlag& flag) {
  const char letter = flag.name.front();
  const std::string value = flag.value.value_or("");
  const bool is_new = request.verb.starts_with("new-");
  switch (letter) {
    case 't':
      request.target = TRY(parse_target(value));
      return {};
    case 's':
      if (!is_new) break;  // list-panes -s
      if (!is_name(value)) return refuse(value, "a session's name is of letters, digits, _ and -");
      request.target.session = value;
      return {};
    case 'n':
      if (!is_name(value)) return refuse(value, "a window's name is of letters, digits, _ and -");
      request.name = value;
      return {};
    case 'c':
      if (value.empty() || value.find('\n') != value.npos) return refuse(value, "no directory");
      request.directory = value;
      return {};
    case 'F':
      TRY_VOID(check_format(value));
      break;
    case 'S':
    case 'E':
      if (!is_line_number(value)) return refuse(value, "not the number of a line");
      break;
    case 'x':
    case 'y':
      // The server keeps every cell of a window: of 9999 by 9999 they are gigabytes of the host.
      if (!is_digits(value) || value.size() > 3) return refuse(value, "not a size up to 999");
      break;
    default:
      break;
  }
  request.flags.push_back(std::string("-") + letter);
  if (flag.value) request.flags.push_back(value);
  return {};
}

}  // namespace

Result<Target> parse_target(std::string_view text) {
  constexpr std::string_view kForm =
      "a target is SESSION, SESSION:WINDOW or SESSION:WINDOW.PANE, "
      "by names of letters, digits, _ and -";
  const std::string_view whole = text;
  auto take = [&text](char end) {
    const std::size_t at = std::min(text.find(end), text.size());
    std::string_view part = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    if (part.starts_with('=')) part.remove_prefix(1);
    return part;
  };
  Target target;
  const bool has_window = text.find(':') != text.npos;
  target.session = take(':');
  if (!is_name(target.session)) return refuse(whole, kForm);
  if (!has_window || text.empty()) return target;
  const bool has_pane = text.find('.') != text.npos;
  target.window = take('.');
  if (!is_name(target.window)) return refuse(whole, kForm);
  if (!has_pane) return target;
  target.pane = text;
  if (!is_digits(target.pane) || target.pane.size() > 4) return refuse(whole, kForm);
  return target;
}

std::string target_text(const Target& target) {
  // Without the colon tmux would look for a window of that name first.
  std::string out = "=" + target.session + ":";
  if (!target.window.empty()) out += "=" + target.window;
  if (!target.pane.empty()) out += "." + target.pane;
  return out;
}

Result<void> check_format(std::string_view text) {
  const std::string_view whole = text;
  while (!text.empty()) {
    const std::size_t hash = text.find('#');
    if (hash == text.npos) return {};
    text.remove_prefix(hash + 1);
    if (!text.empty() && kShort.find(text.front()) != kShort.npos) {
      text.remove_prefix(1);
      continue;
    }
    const std::size_t close = text.find('}');
    if (!text.starts_with('{') || close == text.npos) return refuse(whole, "a format of this kind");
    const std::string_view name = text.substr(1, close - 1);
    if (std::find(std::begin(kVariables), std::end(kVariables), name) == std::end(kVariables)) {
      return refuse(whole, "formats may hold only variables that tell names and states");
    }
    text.remove_prefix(close + 1);
  }
  return {};
}

Result<Request> parse_request(std::span<const std::string> arguments) {
  TRY_VOID(check_words(arguments));
  if (arguments.empty()) return refuse("tmux", "it would attach a terminal to the host's server");
  const ParsedCommand parsed = TRY(parse_options(*find_command_table("tmux"), arguments));
  const VerbRow* row = find_verb(parsed.subcommand);
  if (row == nullptr) return refuse(parsed.subcommand, "a command that the sandbox may not use");
  Request request;
  request.verb = parsed.subcommand;
  request.need = row->need;
  std::string seen;
  for (const ParsedFlag& flag : parsed.flags) {
    if (flag.global != parsed.subcommand.empty() || flag.name.size() != 1 ||
        row->options.find(flag.name) == row->options.npos) {
      return refuse("-" + flag.name, "an option that the sandbox may not use");
    }
    if (seen.find(flag.name) != seen.npos) return refuse("-" + flag.name, "given twice");
    seen += flag.name;
    TRY_VOID(take_option(request, flag));
  }
  for (char letter : row->required) {
    if (seen.find(letter) == seen.npos)
      return refuse(parsed.subcommand, std::string("without -") + letter);
  }
  if (parsed.operands.size() < row->least || parsed.operands.size() > row->most)
    return refuse(parsed.subcommand, "a wrong number of arguments");
  if (request.verb.starts_with("new-")) {
    if (!request.target.window.empty())
      return refuse(request.target.window, "name the session alone");
    request.command = parsed.operands;
  } else {
    request.operands = parsed.operands;
  }
  if (request.verb == "display-message") TRY_VOID(check_format(request.operands.front()));
  return request;
}

std::string escape_argument(std::string argument) {
  if (argument.ends_with(';')) argument.insert(argument.size() - 1, "\\");
  return argument;
}

std::string escape_directory(std::string_view path) {
  std::string out;
  for (char c : path) out += c == '#' ? "##" : std::string(1, c);
  return out;
}

bool matches_session(std::span<const std::string> patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return matches_pattern(pattern, name, false);
  });
}

}  // namespace dirbox::broker::tmux
