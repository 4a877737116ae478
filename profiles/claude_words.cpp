#include "profiles/claude_words.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/glob.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/broker/command_table.h"
#include "launcher/broker/policy.h"
#include "profiles/text_rules.h"

namespace dirbox::profiles {
namespace {

std::string in_quotes(std::string_view text) {
  return fmt::format("\"{}\"", escape_for_terminal(text));
}

/// A grant that is missing makes the profile stricter, anything else weaker.
std::string cannot(ClaudeUse use, std::string_view text, std::string_view why) {
  return fmt::format("{} here: cannot be expressed: {}: {}",
                     use == ClaudeUse::grant ? "stricter" : "weaker", in_quotes(text),
                     escape_for_terminal(why));
}

/// Where a text begins, and what stands behind that.
struct Begun {
  std::vector<std::string> roots;
  std::string_view rest;
  std::string note;
};

/// The directory that a project's settings lie in is its root for Claude Code, and the one that it
/// is started in: of a work tree it can be the top, or not.
std::vector<std::string> project_roots(ClaudeUse use) {
  if (use == ClaudeUse::grant) return {"${PROJECT}"};
  return {"${PROJECT}", "${CWD}"};
}

std::vector<std::string> roots_of(const ClaudeBase& base, ClaudeUse use) {
  return base.is_project() ? project_roots(use) : std::vector{base.path};
}

/// A directory's content and the directory itself come to the directory; "" for all there is.
std::string_view strip_content(std::string_view rest) {
  for (bool more = true; more;) {
    more = false;
    for (std::string_view end : {"/**", "/*", "/.", "/"}) {
      if (!rest.ends_with(end)) continue;
      rest.remove_suffix(end.size());
      more = true;
    }
  }
  while (rest.starts_with('/')) rest.remove_prefix(1);
  return rest == "**" || rest == "*" || rest == "." ? std::string_view{} : rest;
}

/// One name of a gitignore pattern. `?`, `[…]` and `\x` become what covers them.
void append_name(std::string& out, std::string_view name, std::string& note) {
  bool after_star = false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    bool wider = c == '?' || c == '[';
    if (c == '[') {
      const std::size_t close = name.find(']', i + 2);
      if (close != name.npos) i = close;
    } else if (c == '\\' && i + 1 < name.size()) {
      c = name[++i];
      wider = c == '*' || c == '?' || c == '[';
    }
    if (wider) {
      note = "wider here: * in place of ? and [ ]";
      c = '*';
    }
    if (c != '*' || !after_star) out += c;
    after_star = c == '*';
  }
}

std::string as_pattern(std::string_view rest, std::string& note) {
  std::string out;
  for (std::string_view name : path_components(rest)) {
    if (!out.empty()) out += '/';
    if (name == "**") {
      out += name;
    } else {
      append_name(out, name, note);
    }
  }
  return out;
}

/// A directory as a whole, with what the home and the working directory come to.
ClaudePath whole(std::string_view text, ClaudeUse use, Begun& begun) {
  if (use == ClaudeUse::grant) return {std::move(begun.roots), begun.note, {}};
  const std::string& root = begun.roots.front();
  if (root == "~") {
    return {{}, {}, cannot(use, text, "of the private home what profiles list can still be used")};
  }
  if (root == "/") return {{}, {}, cannot(use, text, "it is the root of everything")};
  if (root.starts_with('$') && use == ClaudeUse::hide)
    return {{}, {}, cannot(use, text, "nothing can run in a working directory that is hidden")};
  return {std::move(begun.roots), begun.note, {}};
}

ClaudePath finish(std::string_view text, ClaudeUse use, Begun begun) {
  if (begun.rest.empty()) return whole(text, use, begun);
  ClaudePath out;
  out.note = begun.note;
  const bool grant = use == ClaudeUse::grant;
  const std::string rest = grant ? std::string(begun.rest) : as_pattern(begun.rest, out.note);
  if (begun.roots.front() == "/" && is_glob(rest.substr(0, rest.find('/')))) {
    // All of the system would have to be looked through.
    begun.roots = {"~", "${PROJECT}"};
    out.note = "weaker here: looked for in the home directory and the work tree alone";
  }
  // The work tree is above the working directory.
  if (rest.starts_with("**/") && begun.roots.front() == "${PROJECT}") begun.roots.resize(1);
  // As many again are left for what the root stands for.
  if (path_components(rest).size() > Glob::kMaxComponents / 2)
    return {{}, {}, cannot(use, text, "it has too many components")};
  for (const std::string& root : begun.roots) {
    const std::string path = root == "/" ? "/" + rest : root + "/" + rest;
    if (auto wrong = grant ? check_path(path) : check_path_pattern(path))
      return {{}, {}, cannot(use, text, wrong->detail)};
    out.paths.push_back(canonical_path(path));
  }
  return out;
}

std::string_view without_dot(std::string_view text) {
  while (text.starts_with("./")) text.remove_prefix(2);
  return text;
}

bool is_plain_word(std::string_view word) {
  return word != "..." && std::all_of(word.begin(), word.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  std::string_view("._/:=@+,%-").find(c) != std::string_view::npos;
         });
}

/// The rule that permits `words`, and with `more` whatever follows them.
std::string make_rule(const std::string& command, const std::vector<std::string>& words, bool more,
                      std::string& wrong) {
  const bool known = broker::find_command_table(command) != nullptr;
  for (const std::string& word : words) {
    // An option of a known command may take the next word as its value.
    if (!is_plain_word(word) || (known && word.starts_with('-'))) {
      wrong = fmt::format("no rule can be made of {}", in_quotes(word));
      return {};
    }
  }
  std::string rule = fmt::format("{}", fmt::join(words, " "));
  auto parsed = broker::parse_rule(command, broker::RuleKind::allow, rule, {});
  if (parsed && more) {
    rule += known ? " [-*] ..." : " ...";
    parsed = broker::parse_rule(command, broker::RuleKind::allow, rule, {});
  }
  if (parsed) return rule;
  wrong = escape_for_terminal(parsed.error().detail);
  return {};
}

}  // namespace

ClaudePath read_claude_path(std::string_view text, ClaudeUse use, const ClaudeBase& base) {
  Begun begun{{"/"}, strip_content(text), {}};
  if (text == "~" || text.starts_with("~/")) {
    begun.roots = {"~"};
    begun.rest = strip_content(text.substr(1));
  } else if (!text.starts_with('/')) {
    begun.roots = roots_of(base, use);
    begun.rest = strip_content(without_dot(text));
    if (!base.is_project()) begun.note = "relative to the directory of these settings";
  }
  return finish(text, use, std::move(begun));
}

ClaudePath read_claude_rule(std::string_view text, ClaudeUse use, const ClaudeBase& base) {
  if (text.starts_with("//") || text == "~" || text.starts_with("~/"))
    return finish(text, use,
                  {{text.starts_with('/') ? "/" : "~"}, strip_content(text.substr(1)), {}});
  if (text.starts_with('/')) {
    Begun begun{roots_of(base, use), strip_content(text), {}};
    if (!base.is_project()) begun.note = "relative to the directory of these settings";
    return finish(text, use, std::move(begun));
  }
  Begun begun{project_roots(use), strip_content(without_dot(text)), {}};
  if (begun.rest.empty()) return finish(text, use, std::move(begun));
  if (begun.rest.find('/') == begun.rest.npos) {
    begun.roots = {"${PROJECT}/**"};
    begun.note = "at any depth, as gitignore has it";
  }
  return finish(text, use, std::move(begun));
}

ClaudeCommand read_claude_command(std::string_view text) {
  const bool more = text.ends_with('*');
  if (more) text.remove_suffix(1);
  if (more && text.ends_with(':')) text.remove_suffix(1);
  std::vector<std::string> words;
  for (std::size_t at = 0; (at = text.find_first_not_of(' ', at)) != text.npos;) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  ClaudeCommand out;
  if (words.empty() || check_command(words.front())) {
    out.wrong = "it names no command";
    return out;
  }
  out.command = words.front();
  words.erase(words.begin());
  if (!words.empty()) out.rule = make_rule(out.command, words, more, out.wrong);
  return out;
}

}  // namespace dirbox::profiles
