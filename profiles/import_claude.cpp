#include "profiles/import_claude.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "launcher/base/text.h"
#include "profiles/text_rules.h"
#include "profiles/toml_writer.h"

namespace dirbox::profiles {
namespace {

/// Text that stays on its line of a comment.
std::string comment(std::string_view text) { return escape_for_terminal(text); }

struct Importer {
  explicit Importer(std::string_view file) : source(comment(file)) {}

  std::string source;
  /// "section.key" -> lines of the list
  std::map<std::string, std::vector<std::string>> lists;
  std::set<std::string> added;        ///< what is in them: list and value
  std::vector<std::string> excluded;  ///< tables
  std::vector<std::string> remarks;
  std::string mode;  ///< of the network

  void remark(std::string_view where, std::string_view what) {
    remarks.push_back(fmt::format("# {}: {}", where, what));
  }
  void add(const std::string& list, std::string_view value, std::string_view where) {
    std::string text = toml_string(value);
    if (!added.insert(fmt::format("{} {}", list, text)).second) return;
    lists[list].push_back(fmt::format("  {}, # {}", text, where));
  }
};

std::string place(std::string_view path, std::size_t index) {
  return fmt::format("{}[{}]", path, index);
}

/// A path of the settings as one of a profile; "" with a remark where there is none. `rule`: in a
/// permission rule "/x" is relative to the project and "//x" absolute.
std::string convert_path(Importer& out, std::string_view text, bool rule, std::string_view where) {
  std::string path(text);
  // A directory is hidden with all that is in it.
  for (std::string_view end : {"/**", "/*", "/"}) {
    if (path.size() > end.size() && path.ends_with(end)) {
      path.resize(path.size() - end.size());
      break;
    }
  }
  if (rule && path.starts_with("//")) {
    path.erase(0, 1);
  } else if (path.starts_with("./")) {
    path = "${PROJECT}" + path.substr(1);
  } else if (rule && path.starts_with('/')) {
    path = "${PROJECT}" + path;
  } else if (path == ".") {
    path = "${PROJECT}";
  } else if (!path.starts_with('/') && !path.starts_with('~')) {
    path = "${PROJECT}/" + path;
  }
  if (auto wrong = check_path(path)) {
    out.remark(where, fmt::format("cannot be expressed: \"{}\": {}", comment(text),
                                  comment(wrong->detail)));
    return {};
  }
  return path;
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

Use into_paths(const char* list, bool optional) {
  return [list, optional](Importer& out, const std::string& text, const std::string& where) {
    const std::string path = convert_path(out, text, false, where);
    if (!path.empty()) out.add(list, (optional ? "?" : "") + path, where);
  };
}

Use into_rules(const char* list, Check check) {
  return [list, check](Importer& out, const std::string& text, const std::string& where) {
    if (auto wrong = check(text)) {
      out.remark(where,
                 fmt::format("not taken over: \"{}\": {}", comment(text), comment(wrong->detail)));
    } else {
      out.add(list, text, where);
    }
  };
}

/// "docker *", "docker:*", "docker": the first word is the command.
void add_excluded(Importer& out, const std::string& text, const std::string& where) {
  const std::string name = text.substr(0, text.find_first_of(" :"));
  if (auto wrong = check_profile_name(name)) {
    out.remark(where, fmt::format("cannot be expressed: \"{}\" names no command", comment(text)));
    return;
  }
  const char* mode = name == "docker" || name == "docker-compose" ? "filter"
                     : name == "tmux"                             ? "grammar"
                                                                  : "host";
  const std::string table =
      fmt::format("[[excluded]]\ncommand = {}\nmode = \"{}\"", toml_string(name), mode);
  for (const std::string& old : out.excluded) {
    if (old.starts_with(table)) return;
  }
  std::string note = fmt::format(" # {}", where);
  if (std::string_view(mode) == "host") {
    note += ": runs on the host with your rights; add allow = [...] to bound its arguments";
  } else {
    note += ": stricter here: what it may do is filtered";
  }
  out.excluded.push_back(table + note);
  out.remark(where, fmt::format("stricter here: the command {} alone leaves the sandbox, never the "
                                "shell line that it stands in",
                                comment(name)));
}

/// permissions.deny: "Read(./.env)", "WebFetch(domain:x)", "Bash(curl:*)".
void add_deny_rule(Importer& out, const std::string& text, const std::string& where) {
  const std::size_t open = text.find('(');
  const std::string tool = text.substr(0, open);
  const bool whole = open == text.npos || !text.ends_with(')');
  const std::string inner = whole ? "" : text.substr(open + 1, text.size() - open - 2);
  if ((tool == "Read" || tool == "Edit" || tool == "Write") && !inner.empty()) {
    const std::string path = convert_path(out, inner, true, where);
    if (path.empty()) return;
    out.add(tool == "Read" ? "filesystem.hide" : "filesystem.protect", path, where);
  } else if (tool == "WebFetch" && inner.starts_with("domain:")) {
    into_rules("network.deny", check_network_rule)(out, inner.substr(7), where);
  } else {
    out.remark(where, fmt::format("cannot be expressed, and stays with Claude Code: \"{}\"",
                                  comment(text)));
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
    const std::string converted = convert_path(out, *path->as_string(), false, at);
    if (!converted.empty()) out.add("filesystem.hide", converted, at);
  }
}

std::vector<Key> network_keys() {
  return {
      {"allowedDomains", strings(into_rules("network.allow", check_allow_rule))},
      {"deniedDomains", strings(into_rules("network.deny", check_network_rule))},
      {"allowUnixSockets", strings(into_paths("filesystem.sockets", true))},
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
      {"filesystem", block({{"allowWrite", strings(into_paths("filesystem.write", true))},
                            {"allowRead", strings(into_paths("filesystem.read", true))},
                            {"denyRead", strings(into_paths("filesystem.hide", false))},
                            {"denyWrite", strings(into_paths("filesystem.protect", false))}})},
      {"credentials", block({{"files", add_files},
                             {"envVars", say("always so here: only listed variables come in")}})},
      {"failIfUnavailable", say("always so here: dirbox never runs without its sandbox")},
      {"autoAllowBashIfSandboxed", say("a matter of Claude Code's own prompts")},
      {"allowUnsandboxedCommands",
       say("stricter here: nothing inside can leave but excluded commands")},
      {"enableWeakerNestedSandbox", say("not needed: dirbox turns the inner sandbox off")},
      {"enableWeakerNetworkIsolation", say("cannot be expressed")},
      {"ignoreViolations", say("cannot be expressed: dirbox log shows them all")},
      {"ripgrep", say("not needed")},
  };
}

std::vector<Key> permission_keys() {
  return {
      {"deny", strings(add_deny_rule)},
      {"additionalDirectories", strings(into_paths("filesystem.write", true))},
      // These are about Claude Code's own prompts.
      {"allow", say("")},
      {"ask", say("")},
      {"defaultMode", say("")},
      {"disableBypassPermissionsMode", say("")},
  };
}

/// A path cannot be in two lists of one file: the stricter one has it.
void drop_contradictions(Importer& out) {
  auto path_of = [](std::string_view line) {
    std::string value(line.substr(0, line.find(", #")));
    std::erase(value, '?');
    return value;
  };
  // Strictest first.
  constexpr const char* kLists[] = {"filesystem.hide", "filesystem.protect", "filesystem.sockets",
                                    "filesystem.write", "filesystem.read"};
  std::set<std::string> seen;
  for (const char* name : kLists) {
    auto list = out.lists.find(name);
    if (list == out.lists.end()) continue;
    std::erase_if(list->second,
                  [&](const std::string& line) { return !seen.insert(path_of(line)).second; });
    if (list->second.empty()) out.lists.erase(list);
  }
}

std::string render(const Importer& out) {
  std::string text = fmt::format(
      "# From {}, by dirbox import claude. Stricter here throughout: the whole of Claude Code is\n"
      "# confined, not its shell commands alone, and its home is private: what is not listed is "
      "absent.\n\nextends = \"director\"\n",
      out.source);
  std::string section;
  for (const auto& [key, lines] : out.lists) {
    const std::string name = key.substr(0, key.find('.'));
    if (name != section) text += fmt::format("\n[{}]\n", name);
    section = name;
    text += fmt::format("{} = [\n{}\n]\n", key.substr(name.size() + 1), fmt::join(lines, "\n"));
  }
  for (const std::string& table : out.excluded) text += "\n" + table + "\n";
  if (!out.remarks.empty()) text += fmt::format("\n{}\n", fmt::join(out.remarks, "\n"));
  return text;
}

}  // namespace

std::string import_claude(const Json& settings, std::string_view source) {
  Importer out(source);
  if (const Json* sandbox = settings.find("sandbox"))
    take_block(out, *sandbox, "sandbox", sandbox_keys());
  if (const Json* permissions = settings.find("permissions"))
    take_block(out, *permissions, "permissions", permission_keys());
  drop_contradictions(out);
  return render(out);
}

}  // namespace dirbox::profiles
