#include "profiles/import_claude.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "launcher/base/glob.h"
#include "launcher/base/text.h"
#include "profiles/claude_words.h"
#include "profiles/schema.h"
#include "profiles/text_rules.h"
#include "profiles/toml_writer.h"

namespace dirbox::profiles {
namespace {

/// Text that stays on its line of a comment.
std::string comment(std::string_view text) { return escape_for_terminal(text); }

/// An entry of a list.
struct Line {
  std::string value;
  std::string where;  ///< the setting
  std::string note;
  bool optional = false;

  std::string text() const {
    return fmt::format("  {}, # {}{}{}", toml_string((optional ? "?" : "") + value), where,
                       note.empty() ? "" : ": ", note);
  }
};

/// A table of [[excluded]].
struct Record {
  std::string command;
  std::string_view mode;
  std::string any;          ///< the setting that permits any arguments; empty: only what `rules` do
  std::vector<Line> rules;  ///< of allow
};

/// By section and key: "filesystem.hide".
using Lists = std::map<std::string, std::vector<Line>>;

struct Importer {
  explicit Importer(const ClaudeSettings& settings)
      : source(comment(settings.name)), base{settings.base}, refuse(settings.refuse) {}

  std::string source;
  ClaudeBase base;
  RefuseGrant refuse;
  Lists lists;
  std::set<std::string> added;  ///< what is in them: list and value
  std::vector<Record> excluded;
  std::vector<std::string> remarks;

  void remark(std::string_view where, std::string_view what) {
    remarks.push_back(fmt::format("# {}: {}", where, what));
  }
  void add(const std::string& list, Line line) {
    if (!added.insert(fmt::format("{} {}", list, line.value)).second) return;
    lists[list].push_back(std::move(line));
  }
};

std::string place(std::string_view path, std::size_t index) {
  return fmt::format("{}[{}]", path, index);
}

std::string in_quotes(std::string_view text) { return fmt::format("\"{}\"", comment(text)); }

/// What was read of `text`, into a list.
void add_paths(Importer& out, const std::string& list, ClaudeUse use, const ClaudePath& read,
               std::string_view text, const std::string& where) {
  const bool grant = use == ClaudeUse::grant;
  if (read.paths.empty()) out.remark(where, read.remark);
  for (const std::string& path : read.paths) {
    const std::string refused = grant && out.refuse ? out.refuse(list, path) : std::string();
    if (!refused.empty()) {
      out.remark(where, fmt::format("stricter here: left out: {}: {}", in_quotes(text), refused));
      continue;
    }
    const bool second = path != read.paths.front() && path.starts_with("${CWD}");
    out.add(list, {path, where, second ? "below the top of a work tree" : read.note, grant});
  }
}

using Use = std::function<void(Importer& out, const std::string& text, const std::string& where)>;
using Take = std::function<void(Importer& out, const Json& value, const std::string& where)>;

std::string_view type_of(const Json& value) {
  if (value.as_string() != nullptr) return "a string";
  if (value.as_array() != nullptr) return "a list";
  if (value.as_object() != nullptr) return "an object";
  if (value.as_bool() != nullptr) return "a boolean";
  return value.is_null() ? "null" : "a number";
}

void expected(Importer& out, const Json& value, std::string_view where, std::string_view wanted) {
  out.remark(where, fmt::format("not taken over: {} is expected, not {}", wanted, type_of(value)));
}

/// A list of strings.
Take strings(Use use) {
  return [use = std::move(use)](Importer& out, const Json& list, const std::string& where) {
    if (list.as_array() == nullptr) return expected(out, list, where, "a list");
    std::size_t index = 0;
    for (const Json& item : *list.as_array()) {
      const std::string at = place(where, index++);
      if (item.as_string() == nullptr) {
        expected(out, item, at, "a string");
      } else {
        use(out, *item.as_string(), at);
      }
    }
  };
}

/// A setting without a counterpart; `text` is what holds here instead, "" for nothing to say.
Take say(std::string_view text) {
  return [text](Importer& out, const Json&, const std::string& where) {
    if (!text.empty()) out.remark(where, text);
  };
}

struct Key {
  std::string_view name;
  Take take;
};

void take_block(Importer& out, const Json& block, const std::string& where,
                std::span<const Key> keys) {
  if (block.as_object() == nullptr) return expected(out, block, where, "an object");
  for (const auto& [name, value] : *block.as_object()) {
    const std::string at = fmt::format("{}.{}", where, comment(name));
    const auto key = std::find_if(keys.begin(), keys.end(),
                                  [&name = name](const Key& one) { return one.name == name; });
    if (key != keys.end()) {
      key->take(out, value, at);
      continue;
    }
    std::vector<std::string_view> names;
    for (const Key& one : keys) names.push_back(one.name);
    out.remark(at, "not taken over: unknown" + did_you_mean(name, names));
  }
}

Take block(std::vector<Key> keys) {
  return [keys = std::move(keys)](Importer& out, const Json& value, const std::string& where) {
    take_block(out, value, where, keys);
  };
}

Use into_paths(const char* list, ClaudeUse use) {
  return [list, use](Importer& out, const std::string& text, const std::string& where) {
    add_paths(out, list, use, read_claude_path(text, use, out.base), text, where);
  };
}

/// Of the working directory, whosever the settings are.
void add_directory(Importer& out, const std::string& text, const std::string& where) {
  add_paths(out, "filesystem.write", ClaudeUse::grant, read_claude_path(text, ClaudeUse::grant, {}),
            text, where);
}

Use into_rules(const char* list, Check check, std::string_view without) {
  return [=](Importer& out, const std::string& text, const std::string& where) {
    if (auto wrong = check(text)) {
      out.remark(where, fmt::format("{} here: left out: {}: {}", without, in_quotes(text),
                                    comment(wrong->detail)));
    } else {
      out.add(list, {text, where, {}, false});
    }
  };
}

Record& record_of(Importer& out, const std::string& command) {
  for (Record& record : out.excluded) {
    if (record.command == command) return record;
  }
  const std::string_view mode = command == "docker" || command == "docker-compose" ? "filter"
                                : command == "tmux"                                ? "grammar"
                                                                                   : "host";
  return out.excluded.emplace_back(Record{command, mode, {}, {}});
}

void add_excluded(Importer& out, const std::string& text, const std::string& where) {
  ClaudeCommand read = read_claude_command(text);
  // What docker may do is not decided by its arguments.
  const bool filtered = read.command == "docker" || read.command == "docker-compose";
  if (!read.wrong.empty() && !filtered) {
    out.remark(where, fmt::format("stricter here: left out, so that it stays inside: {}: {}",
                                  in_quotes(text), comment(read.wrong)));
    return;
  }
  Record& record = record_of(out, read.command);
  if (filtered || read.rule.empty()) {
    if (record.any.empty()) record.any = where;
  } else {
    record.rules.push_back({read.rule, where, {}, false});
  }
}

/// permissions.deny: "Read(./.env)", "WebFetch(domain:x)", "Bash(curl:*)".
void add_deny_rule(Importer& out, const std::string& text, const std::string& where) {
  const std::size_t open = text.find('(');
  const std::string tool = text.substr(0, open);
  const bool bare = open == text.npos || !text.ends_with(')');
  const std::string inner = bare ? "" : text.substr(open + 1, text.size() - open - 2);
  if ((tool == "Read" || tool == "Edit" || tool == "Write") && inner.starts_with('!')) {
    out.remark(where, fmt::format("stricter here: left out: {}: a profile has no exceptions",
                                  in_quotes(text)));
  } else if ((tool == "Read" || tool == "Edit" || tool == "Write") && !inner.empty()) {
    const bool hide = tool == "Read";
    const ClaudeUse use = hide ? ClaudeUse::hide : ClaudeUse::protect;
    add_paths(out, hide ? "filesystem.hide" : "filesystem.protect", use,
              read_claude_rule(inner, use, out.base), inner, where);
  } else if (tool == "WebFetch" && inner.starts_with("domain:")) {
    into_rules("network.deny", check_network_rule, "weaker")(out, inner.substr(7), where);
  } else {
    out.remark(where,
               fmt::format("cannot be expressed, and stays with Claude Code: {}", in_quotes(text)));
  }
}

/// sandbox.credentials.files: paths, or objects with one.
void add_files(Importer& out, const Json& list, const std::string& where) {
  if (list.as_array() == nullptr) return expected(out, list, where, "a list");
  std::size_t index = 0;
  for (const Json& item : *list.as_array()) {
    const std::string at = place(where, index++);
    const Json* path = item.as_object() != nullptr ? item.find("path") : &item;
    if (path == nullptr || path->as_string() == nullptr) {
      out.remark(at, "not taken over: it has no path");
      continue;
    }
    into_paths("filesystem.hide", ClaudeUse::hide)(out, *path->as_string(), at);
  }
}

std::vector<Key> network_keys() {
  return {
      {"allowedDomains", strings(into_rules("network.allow", check_allow_rule, "stricter"))},
      {"deniedDomains", strings(into_rules("network.deny", check_network_rule, "weaker"))},
      {"allowUnixSockets", strings(into_paths("filesystem.sockets", ClaudeUse::grant))},
      {"allowManagedDomainsOnly", say("always so here: nothing inside can add a host")},
      {"strictAllowlist", say("always so here: a host that no rule names is refused")},
      {"allowAllUnixSockets", say("stricter here: sockets of the host are listed one by one")},
      {"allowLocalBinding",
       say("always so here: the sandbox has a loopback of its own; see publish")},
      {"httpProxyPort",
       say("dirbox has its own proxy; a proxy of the host is taken from HTTPS_PROXY")},
      {"socksProxyPort", say("dirbox has its own proxy")},
  };
}

std::vector<Key> sandbox_keys() {
  return {
      {"enabled", say("not needed: dirbox confines Claude Code as a whole, and turns "
                      "its own sandbox off")},
      {"excludedCommands", strings(add_excluded)},
      {"network", block(network_keys())},
      {"filesystem",
       block({{"allowWrite", strings(into_paths("filesystem.write", ClaudeUse::grant))},
              {"allowRead", strings(into_paths("filesystem.read", ClaudeUse::grant))},
              {"denyRead", strings(into_paths("filesystem.hide", ClaudeUse::hide))},
              {"denyWrite", strings(into_paths("filesystem.protect", ClaudeUse::protect))}})},
      {"credentials", block({{"files", add_files},
                             {"envVars", say("always so here: only listed variables come in")}})},
      {"failIfUnavailable", say("always so here: dirbox never runs without its sandbox")},
      {"autoAllowBashIfSandboxed", say("a matter of Claude Code's own prompts")},
      {"allowUnsandboxedCommands",
       say("stricter here: nothing inside can leave but excluded commands")},
      {"enableWeakerNestedSandbox", say("not needed: dirbox turns the inner sandbox off")},
      {"enableWeakerNetworkIsolation", say("stricter here: there is no such exception")},
      {"ignoreViolations", say("cannot be expressed: dirbox log shows them all")},
      {"ripgrep", say("not needed")},
  };
}

std::vector<Key> permission_keys() {
  return {
      {"deny", strings(add_deny_rule)},
      {"additionalDirectories", strings(add_directory)},
      // These are about Claude Code's own prompts.
      {"allow", say("")},
      {"ask", say("")},
      {"defaultMode", say("")},
      {"disableBypassPermissionsMode", say("")},
  };
}

/// What lists of one file may not both have: the stricter one keeps it.
void drop_contradictions(Importer& out) {
  // Strictest first.
  constexpr std::string_view kOrder[] = {"hide", "protect", "sockets", "write",
                                         "read", "deny",    "allow"};
  auto rank = [&](std::string_view key) {
    return std::find(std::begin(kOrder), std::end(kOrder), key) - std::begin(kOrder);
  };
  for (const Exclusive& pair : exclusive_lists()) {
    const bool first = rank(pair.first) < rank(pair.second);
    const std::string kept = fmt::format("{}.{}", pair.section, first ? pair.first : pair.second);
    const auto keeps = out.lists.find(kept);
    const auto loses =
        out.lists.find(fmt::format("{}.{}", pair.section, first ? pair.second : pair.first));
    if (keeps == out.lists.end() || loses == out.lists.end()) continue;
    std::map<std::string_view, const Line*> values;
    for (const Line& line : keeps->second) values.emplace(line.value, &line);
    std::erase_if(loses->second, [&](const Line& line) {
      const auto found = values.find(line.value);
      if (found == values.end()) return false;
      out.remark(line.where, fmt::format("stricter here: left out: {} is in {} by {}",
                                         in_quotes(line.value), kept, found->second->where));
      return true;
    });
  }
}

/// A profile with more patterns is refused: dirbox-profile(5). Those of the home may count twice.
void drop_patterns(Importer& out) {
  constexpr std::size_t kMost = 32;
  std::size_t count = 0;
  for (const char* name : {"filesystem.hide", "filesystem.protect"}) {
    const auto list = out.lists.find(name);
    if (list == out.lists.end()) continue;
    std::erase_if(list->second, [&](const Line& line) {
      if (!is_glob(line.value)) return false;
      count += line.value.starts_with('~') ? 2 : 1;
      if (count <= kMost) return false;
      out.remark(line.where, fmt::format("weaker here: left out: {}: a profile takes {} patterns",
                                         in_quotes(line.value), kMost));
      return true;
    });
  }
}

/// A command of which some calls are to leave the sandbox: a record would refuse all others, and is
/// left to the user.
std::string render_bounded(const Record& record) {
  std::string text = fmt::format(
      "\n# {}: stricter here: {} stays inside. By these lines it runs on the host\n"
      "# with your rights where allow permits it, and any other call of it is refused, inside as "
      "well:\n# [[excluded]]\n# command = {}\n# mode = \"host\"\n# allow = [\n",
      record.rules.front().where, record.command, toml_string(record.command));
  for (const Line& rule : record.rules) text += "# " + rule.text() + "\n";
  return text + "# ]\n";
}

/// `out` for what is said of rules that change nothing.
std::string render(const Record& record, Importer& out) {
  if (record.mode == "host" && record.any.empty()) return render_bounded(record);
  std::string text = fmt::format("\n[[excluded]]\ncommand = {}\nmode = \"{}\" # ",
                                 toml_string(record.command), record.mode);
  const std::string& where = record.any.empty() ? record.rules.front().where : record.any;
  text += where;
  if (record.mode != "host") {
    text += ": stricter here: what it may do is filtered\n";
  } else {
    text +=
        ": weaker here: it runs on the host with your rights, whatever its arguments are and\n"
        "# whoever inside calls it; add allow = [...] to bound its arguments\n";
  }
  if (record.mode != "filter") {
    out.remark(where, fmt::format("stricter here: the command {} alone leaves the sandbox, never "
                                  "the shell line that it stands in",
                                  record.command));
  }
  if (record.any.empty()) {
    text += "allow = [\n";
    for (const Line& rule : record.rules) text += rule.text() + "\n";
    return text + "]\n";
  }
  for (const Line& rule : record.rules) {
    out.remark(rule.where, fmt::format("not needed: {} permits any arguments of {}", record.any,
                                       record.command));
  }
  return text;
}

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++count;
  return count;
}

/// `body` is what follows it.
std::string render_header(const Importer& out, std::string_view body) {
  const std::size_t weaker = count_of(body, ": weaker here"),
                    open = count_of(body, ": not taken over");
  std::string text = fmt::format("# From {}, by dirbox import claude.\n", out.source);
  if (weaker + open == 0) {
    text += "# Stricter here throughout: the";
  } else {
    text += fmt::format(
        "# Not stricter throughout: \"weaker here\" stands below {} times, \"not taken over\" {}.\n"
        "# The",
        weaker, open);
  }
  return text +
         " whole of Claude Code is confined, not its shell commands\n"
         "# alone, and its home is private: what is not listed is absent.\n\n"
         "extends = \"director\"\n";
}

std::string render(Importer& out) {
  std::string body, section;
  for (const auto& [key, lines] : out.lists) {
    if (lines.empty()) continue;
    const std::string name = key.substr(0, key.find('.'));
    if (name != section) body += fmt::format("\n[{}]\n", name);
    section = name;
    body += key.substr(name.size() + 1) + " = [\n";
    for (const Line& line : lines) body += line.text() + "\n";
    body += "]\n";
  }
  for (const Record& record : out.excluded) body += render(record, out);
  if (!out.remarks.empty()) body += fmt::format("\n{}\n", fmt::join(out.remarks, "\n"));
  return render_header(out, body) + body;
}

}  // namespace

std::string import_claude(const Json& settings, const ClaudeSettings& of) {
  Importer out(of);
  if (const Json* sandbox = settings.find("sandbox"))
    take_block(out, *sandbox, "sandbox", sandbox_keys());
  if (const Json* permissions = settings.find("permissions"))
    take_block(out, *permissions, "permissions", permission_keys());
  drop_contradictions(out);
  drop_patterns(out);
  return render(out);
}

}  // namespace dirbox::profiles
