#include "profiles/text_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "launcher/base/text.h"
#include "launcher/broker/environment.h"
#include "netns/rules.h"
#include "netns/spec.h"

namespace dirbox::profiles {
namespace {

constexpr VariableDoc kVariables[] = {
    {"CWD", "the directory that the command starts in"},
    {"HOME", "the caller's home directory; a ~ at the beginning of a path is the same"},
    {"PROJECT", "the top of the git work tree around ${CWD}; ${CWD} itself where there is none"},
    {"CLAUDE_PROJECT",
     "the directory of ~/.claude/projects in which Claude Code keeps the sessions of ${CWD}"},
};

constexpr std::string_view kUpper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view kLower = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kDigits = "0123456789";

bool consists_of(std::string_view text, std::initializer_list<std::string_view> sets) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return std::any_of(sets.begin(), sets.end(),
                       [c](std::string_view set) { return set.find(c) != set.npos; });
  });
}

std::string in_quotes(std::string_view text) {
  return fmt::format("\"{}\"", escape_for_terminal(text));
}

std::optional<Complaint> check_variable(std::string_view name) {
  std::vector<std::string_view> names;
  for (const VariableDoc& v : kVariables) {
    if (v.name == name) return std::nullopt;
    names.push_back(v.name);
  }
  return Complaint{fmt::format("unknown variable ${{{}}}{}", escape_for_terminal(name),
                               did_you_mean(name, names)),
                   "the variables are ${CWD}, ${HOME}, ${PROJECT} and ${CLAUDE_PROJECT}"};
}

/// The text up to and including "~" or "${X}" at its beginning; empty when it starts otherwise.
std::string_view variable_prefix(std::string_view text) {
  if (text.substr(0, 1) == "~") return text.substr(0, 1);
  if (text.substr(0, 2) != "${") return {};
  std::size_t close = text.find('}');
  return close == text.npos ? std::string_view{} : text.substr(0, close + 1);
}

std::optional<Complaint> check_path_start(std::string_view text) {
  if (text.front() == '/') return std::nullopt;
  std::string_view prefix = variable_prefix(text);
  if (prefix.empty() && text.front() == '$') {
    return Complaint{fmt::format("malformed variable in {}", in_quotes(text)),
                     "write it with braces: ${CWD}, ${HOME} or ${PROJECT}"};
  }
  if (prefix.empty()) {
    return Complaint{fmt::format("relative path {}", in_quotes(text)),
                     "start it with /, ~/, ${CWD}/ or ${PROJECT}/"};
  }
  if (prefix != "~") {
    if (auto wrong = check_variable(prefix.substr(2, prefix.size() - 3))) return wrong;
  }
  if (text.size() > prefix.size() && text[prefix.size()] != '/') {
    return Complaint{fmt::format("{} is not followed by \"/\" in {}", prefix, in_quotes(text)),
                     prefix == "~" ? "the homes of other users are written out: /home/NAME" : ""};
  }
  return std::nullopt;
}

std::string_view value_of(std::string_view name, const Variables& variables) {
  if (name == "CWD") return variables.cwd;
  if (name == "PROJECT") return variables.project;
  if (name == "CLAUDE_PROJECT") return variables.claude_project;
  return variables.home;
}

}  // namespace

std::span<const VariableDoc> variable_docs() { return kVariables; }

std::optional<Complaint> check_plain(std::string_view text) {
  if (text.empty()) return Complaint{"empty string", ""};
  if (text.find('\0') != text.npos) return Complaint{"NUL byte in a string", ""};
  return std::nullopt;
}

std::optional<Complaint> check_path(std::string_view text) {
  if (auto wrong = check_path_pattern(text)) return wrong;
  if (text.find('*') == text.npos) return std::nullopt;
  return Complaint{fmt::format("wildcard in {}", in_quotes(text)),
                   "these paths have no wildcards: name the directory, or each file"};
}

std::optional<Complaint> check_path_pattern(std::string_view text) {
  if (auto wrong = check_plain(text)) return wrong;
  if (auto wrong = check_path_start(text)) return wrong;
  if (text.find("${", 1) != text.npos) {
    return Complaint{fmt::format("variable inside {}", in_quotes(text)),
                     "a variable stands at the beginning of a path"};
  }
  for (std::size_t at = text.find(".."); at != text.npos; at = text.find("..", at + 1)) {
    const bool starts = at == 0 || text[at - 1] == '/';
    const bool ends = at + 2 == text.size() || text[at + 2] == '/';
    if (starts && ends) {
      return Complaint{fmt::format("\"..\" in {}", in_quotes(text)), "write the path without it"};
    }
  }
  return std::nullopt;
}

std::optional<Complaint> check_device(std::string_view text) {
  if (auto wrong = check_path_pattern(text)) return wrong;
  const std::size_t star = text.find('*'), slash = text.rfind('/');
  if (star == text.npos) return std::nullopt;
  if (text.starts_with("/dev/") && star > slash && text.substr(slash) != "/**") return std::nullopt;
  return Complaint{fmt::format("wildcard in {}", in_quotes(text)),
                   "a * stands in the last name of a path beneath /dev: /dev/nvidia*"};
}

std::string canonical_path(std::string_view text) {
  std::string_view prefix = variable_prefix(text);
  std::string out(prefix == "${HOME}" ? "~" : prefix);
  std::string_view rest = text.substr(prefix.size());
  while (!rest.empty()) {
    std::size_t end = std::min(rest.find('/', 1), rest.size());
    std::string_view part = rest.substr(0, end);  // "/name"; "/" between two slashes
    if (part != "/" && part != "/.") out += part;
    rest.remove_prefix(end);
  }
  return out.empty() ? "/" : out;
}

std::string expand_path(std::string_view text, const Variables& variables) {
  std::string_view prefix = variable_prefix(text);
  if (prefix.empty()) return std::string(text);
  std::string_view rest = text.substr(prefix.size());
  std::string out(prefix == "~" ? variables.home
                                : value_of(prefix.substr(2, prefix.size() - 3), variables));
  if (out == "/" && !rest.empty()) out.clear();
  out += rest;
  return out;
}

std::optional<Complaint> check_value(std::string_view text) {
  if (text.find('\0') != text.npos) return Complaint{"NUL byte in a string", ""};
  for (std::size_t at = text.find("${"); at != text.npos; at = text.find("${", at + 2)) {
    std::size_t close = text.find('}', at);
    if (close == text.npos)
      return Complaint{fmt::format("\"${{\" without \"}}\" in {}", in_quotes(text)), ""};
    if (auto wrong = check_variable(text.substr(at + 2, close - at - 2))) return wrong;
  }
  return std::nullopt;
}

std::string expand_value(std::string_view text, const Variables& variables) {
  std::string out;
  while (!text.empty()) {
    std::size_t open = text.find("${");
    std::size_t close = open == text.npos ? open : text.find('}', open);
    if (close == text.npos) break;
    out += text.substr(0, open);
    out += value_of(text.substr(open + 2, close - open - 2), variables);
    text.remove_prefix(close + 1);
  }
  out += text;
  return out;
}

std::optional<Complaint> check_env_name(std::string_view text) {
  if (auto wrong = check_plain(text)) return wrong;
  if (consists_of(text, {kUpper, kLower, kDigits, "_"}) && kDigits.find(text[0]) == kDigits.npos) {
    return std::nullopt;
  }
  return Complaint{fmt::format("{} is not the name of a variable", in_quotes(text)),
                   "a name is of letters, digits and _, and does not start with a digit"};
}

std::optional<Complaint> check_env_pattern(std::string_view text) {
  if (text == "*") {
    return Complaint{"\"*\" would pass every variable",
                     "name the variables, or a prefix: \"MY_*\""};
  }
  if (!text.empty() && text.back() == '*') text.remove_suffix(1);
  auto wrong = check_env_name(text);
  if (wrong && text.find('*') != text.npos) wrong->hint = "one * at the end stands for any rest";
  return wrong;
}

std::optional<Complaint> check_syscall(std::string_view text) {
  if (auto wrong = check_plain(text)) return wrong;
  std::string_view name = text.front() == '@' ? text.substr(1) : text;
  if (!name.empty() && consists_of(name, {kLower, kDigits, "_-"})) return std::nullopt;
  return Complaint{fmt::format("{} is not a system call or an @group", in_quotes(text)), ""};
}

std::optional<Complaint> check_action(std::string_view text) {
  constexpr std::string_view kWords[] = {"allow", "kill", "log", "notify"};
  if (std::find(std::begin(kWords), std::end(kWords), text) != std::end(kWords))
    return std::nullopt;
  if (text.substr(0, 7) == "errno:E" && text.size() > 7 &&
      consists_of(text.substr(7), {kUpper, kDigits})) {
    return std::nullopt;
  }
  return Complaint{fmt::format("unknown action {}", in_quotes(text)),
                   "the actions are allow, errno:ENAME (errno:EPERM), kill, log and notify"};
}

std::optional<Complaint> check_hostname(std::string_view text) {
  if (!text.empty() && text.size() <= 63 && consists_of(text, {kUpper, kLower, kDigits, "-"}) &&
      text.front() != '-' && text.back() != '-') {
    return std::nullopt;
  }
  return Complaint{fmt::format("{} is not a host name", in_quotes(text)),
                   "1 to 63 letters, digits and -, with no - at either end"};
}

namespace {

/// What the network's own parser says.
template <class T>
std::optional<Complaint> complaint_of(const Result<T>& parsed) {
  if (parsed) return std::nullopt;
  const Error& error = parsed.error();
  return Complaint{error.detail.empty() ? error.message() : error.detail, error.hint};
}

}  // namespace

std::optional<Complaint> check_network_rule(std::string_view text) {
  if (auto wrong = check_plain(text)) return wrong;
  return complaint_of(netns::parse_rules({std::string(text), {}}, /*deny=*/true));
}

std::optional<Complaint> check_allow_rule(std::string_view text) {
  if (auto wrong = check_plain(text)) return wrong;
  return complaint_of(netns::parse_rules({std::string(text), {}}, /*deny=*/false));
}

std::optional<Complaint> check_port(std::string_view text) {
  return complaint_of(netns::parse_port(text));
}
std::optional<Complaint> check_port_forward(std::string_view text) {
  return complaint_of(netns::parse_port_forward(text));
}
std::optional<Complaint> check_publish(std::string_view text) {
  return complaint_of(netns::parse_publish(text));
}

std::optional<Complaint> check_command(std::string_view text) {
  constexpr std::size_t kMost = 64;  // the path of its socket must fit sun_path
  if (!text.empty() && text.size() <= kMost && text.front() != '.' && text.front() != '-' &&
      consists_of(text, {kUpper, kLower, kDigits, "._+-"})) {
    return std::nullopt;
  }
  return Complaint{fmt::format("{} is not the name of a command", in_quotes(text)),
                   "write the name alone, without a path or arguments: docker"};
}

std::optional<Complaint> check_host_variable(std::string_view text) {
  if (auto wrong = check_plain(text)) return wrong;
  return complaint_of(broker::check_passable(text));
}

std::optional<Complaint> check_session_pattern(std::string_view text) {
  if (consists_of(text, {kUpper, kLower, kDigits, "_-*"}) && !text.empty() && text.front() != '-')
    return std::nullopt;
  return Complaint{fmt::format("{} is not a pattern for names of tmux sessions", in_quotes(text)),
                   "it is of letters, digits, _ and -, and * for any run of these"};
}

std::optional<Complaint> check_profile_name(std::string_view text) {
  if (text == "projects") {
    return Complaint{"projects is not a profile's name",
                     "projects.toml says which profile a directory gets; see dirbox-project(1)"};
  }
  if (!text.empty() && text.front() != '.' && text.front() != '-' &&
      consists_of(text, {kUpper, kLower, kDigits, "._-"})) {
    return std::nullopt;
  }
  return Complaint{fmt::format("{} is not a profile's name", in_quotes(text)),
                   "a name is of letters, digits, '.', '_' and '-'; a file is named by a path with "
                   "a / in it: ./my.toml"};
}

}  // namespace dirbox::profiles
