#include "profiles/import_claude.h"

#include <fmt/format.h>

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

void each_string(Importer& out, const Json* list, std::string_view where, const Use& use) {
  if (list == nullptr || list->as_array() == nullptr) return;
  std::size_t index = 0;
  for (const Json& item : *list->as_array()) {
    const std::string at = place(where, index++);
    if (item.as_string() != nullptr) {
      use(out, *item.as_string(), at);
    } else {
      out.remark(at, "not a string");
    }
  }
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

struct Remark {
  std::string_view key, text;
};
// Settings without a counterpart; what holds here instead.
constexpr Remark kSandbox[] = {
    {"failIfUnavailable", "always so here: dirbox never runs without its sandbox"},
    {"autoAllowBashIfSandboxed", "a matter of Claude Code's own prompts"},
    {"allowUnsandboxedCommands", "stricter here: nothing inside can leave but excluded commands"},
    {"enableWeakerNestedSandbox", "not needed: dirbox turns the inner sandbox off"},
    {"enableWeakerNetworkIsolation", "cannot be expressed"},
    {"ignoreViolations", "cannot be expressed: dirbox log shows them all"},
    {"ripgrep", "not needed"},
};
constexpr Remark kNetwork[] = {
    {"allowManagedDomainsOnly", "always so here: nothing inside can add a host"},
    {"strictAllowlist", "always so here: a host that no rule names is refused"},
    {"allowAllUnixSockets", "stricter here: sockets of the host are listed one by one"},
    {"allowLocalBinding", "always so here: the sandbox has a loopback of its own; see publish"},
    {"httpProxyPort", "dirbox has its own proxy; a proxy of the host is taken from HTTPS_PROXY"},
    {"socksProxyPort", "dirbox has its own proxy"},
};

void add_remarks(Importer& out, const Json& block, std::string_view where,
                 std::span<const Remark> rows) {
  for (const Remark& row : rows) {
    if (block.find(row.key) != nullptr) out.remark(fmt::format("{}.{}", where, row.key), row.text);
  }
}

void add_network(Importer& out, const Json& network) {
  each_string(out, network.find("allowedDomains"), "sandbox.network.allowedDomains",
              into_rules("network.allow", check_allow_rule));
  each_string(out, network.find("deniedDomains"), "sandbox.network.deniedDomains",
              into_rules("network.deny", check_network_rule));
  each_string(out, network.find("allowUnixSockets"), "sandbox.network.allowUnixSockets",
              into_paths("filesystem.sockets", true));
  add_remarks(out, network, "sandbox.network", kNetwork);
}

void add_credentials(Importer& out, const Json& credentials) {
  const Json* files = credentials.find("files");
  std::size_t index = 0;
  for (const Json& item :
       files != nullptr && files->as_array() ? *files->as_array() : JsonArray{}) {
    const std::string where = place("sandbox.credentials.files", index++);
    const Json* path = item.as_string() != nullptr ? &item : item.find("path");
    if (path == nullptr || path->as_string() == nullptr) continue;
    const std::string converted = convert_path(out, *path->as_string(), false, where);
    if (!converted.empty()) out.add("filesystem.hide", converted, where);
  }
  if (credentials.find("envVars") != nullptr)
    out.remark("sandbox.credentials.envVars", "always so here: only listed variables come in");
}

void add_sandbox(Importer& out, const Json& sandbox) {
  if (const Json* enabled = sandbox.find("enabled"); enabled != nullptr) {
    out.remark("sandbox.enabled",
               "not needed: dirbox confines Claude Code as a whole, and turns "
               "its own sandbox off");
  }
  each_string(out, sandbox.find("excludedCommands"), "sandbox.excludedCommands", add_excluded);
  if (const Json* network = sandbox.find("network")) add_network(out, *network);
  if (const Json* files = sandbox.find("filesystem")) {
    each_string(out, files->find("allowWrite"), "sandbox.filesystem.allowWrite",
                into_paths("filesystem.write", true));
    each_string(out, files->find("allowRead"), "sandbox.filesystem.allowRead",
                into_paths("filesystem.read", true));
    each_string(out, files->find("denyRead"), "sandbox.filesystem.denyRead",
                into_paths("filesystem.hide", false));
    each_string(out, files->find("denyWrite"), "sandbox.filesystem.denyWrite",
                into_paths("filesystem.protect", false));
  }
  if (const Json* credentials = sandbox.find("credentials")) add_credentials(out, *credentials);
  add_remarks(out, sandbox, "sandbox", kSandbox);
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
  if (const Json* sandbox = settings.find("sandbox")) add_sandbox(out, *sandbox);
  if (const Json* permissions = settings.find("permissions")) {
    each_string(out, permissions->find("deny"), "permissions.deny", add_deny_rule);
    each_string(out, permissions->find("additionalDirectories"),
                "permissions.additionalDirectories", into_paths("filesystem.write", true));
  }
  drop_contradictions(out);
  return render(out);
}

}  // namespace dirbox::profiles
