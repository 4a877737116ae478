#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/learn/lesson.h"
#include "profiles/text_rules.h"

namespace dirbox::learn {
namespace {

/// So many siblings say that the directory is meant.
constexpr std::size_t kMany = 3;

/// Directories in which programs of all kinds keep what is theirs: below the home, and absolute.
constexpr std::string_view kSharedHome[] = {
    ".config",    ".cache",     ".local", ".local/share", ".local/state",
    ".local/lib", ".local/bin", ".var",   ".var/app",     "Desktop",
    "Documents",  "Downloads",  "bin",    "src",          "projects"};
constexpr std::string_view kShared[] = {
    "/usr/local", "/var/lib", "/var/cache", "/var/log", "/var/tmp", "/var/run",    "/var/spool",
    "/run/user",  "/etc/ssl", "/etc/ssh",   "/dev/shm", "/sys/fs",  "/sys/devices"};
/// Whose entries are whole homes or disks.
constexpr std::string_view kPeople[] = {"/home", "/mnt", "/media", "/srv"};

/// What shells, sessions, editors and PATH execute; below the home unless absolute.
constexpr std::string_view kExecuted[] = {".bashrc",
                                          ".bash_profile",
                                          ".bash_login",
                                          ".bash_logout",
                                          ".bash_aliases",
                                          ".profile",
                                          ".zshrc",
                                          ".zshenv",
                                          ".zprofile",
                                          ".zlogin",
                                          ".kshrc",
                                          ".login",
                                          ".cshrc",
                                          ".tcshrc",
                                          ".xprofile",
                                          ".xsession",
                                          ".xsessionrc",
                                          ".xinitrc",
                                          ".pam_environment",
                                          ".inputrc",
                                          ".gitconfig",
                                          ".vimrc",
                                          ".vim",
                                          ".emacs",
                                          ".emacs.d",
                                          ".tmux.conf",
                                          ".gdbinit",
                                          ".lldbinit",
                                          ".envrc",
                                          ".mcp.json",
                                          ".claude",
                                          ".codex",
                                          ".vscode",
                                          ".config/autostart",
                                          ".config/systemd",
                                          ".config/environment.d",
                                          ".config/fish",
                                          ".config/zsh",
                                          ".config/git",
                                          ".config/nvim",
                                          ".config/emacs",
                                          ".config/tmux",
                                          ".config/direnv",
                                          ".config/mise",
                                          ".local/bin",
                                          ".local/share/applications",
                                          ".local/share/systemd",
                                          ".local/share/dbus-1",
                                          ".cargo/bin",
                                          ".npm-global",
                                          "bin",
                                          "go/bin",
                                          "/etc",
                                          "/usr",
                                          "/bin",
                                          "/sbin",
                                          "/lib",
                                          "/lib64",
                                          "/opt",
                                          "/boot",
                                          "/var/spool"};

/// Whether a directory may stand for what lies in it.
bool may_widen(const std::string& directory, const Setting& setting) {
  if (path_components(directory).size() < 2) return false;
  if (path_is_beneath(setting.home, directory) || path_is_beneath(setting.cwd, directory))
    return false;
  for (std::string_view shared : kSharedHome) {
    if (directory == path_join(setting.home, shared)) return false;
  }
  for (std::string_view shared : kShared) {
    if (directory == shared) return false;
  }
  for (std::string_view people : kPeople) {
    if (path_parent(directory) == people) return false;
  }
  return std::none_of(setting.hidden.begin(), setting.hidden.end(),
                      [&](const std::string& path) { return path_is_beneath(path, directory); });
}

using Needs = std::map<std::string, std::set<std::string>>;  // path -> reasons

/// Drops what lies beneath another entry, and gives that one its reasons.
void reduce(Needs& needs) {
  for (auto at = needs.begin(); at != needs.end();) {
    auto above = std::find_if(needs.begin(), needs.end(), [&](const auto& other) {
      return other.first != at->first && path_is_beneath(at->first, other.first);
    });
    if (above == needs.end()) {
      ++at;
      continue;
    }
    above->second.merge(at->second);
    at = needs.erase(at);
  }
}

/// One round: the parents of enough siblings take their place. False when there were none.
bool widen(Needs& needs, const Setting& setting) {
  std::map<std::string, std::vector<std::string>> children;
  for (const auto& [path, why] : needs) children[path_parent(path)].push_back(path);
  bool changed = false;
  for (const auto& [parent, paths] : children) {
    if (paths.size() < kMany || !may_widen(parent, setting)) continue;
    std::set<std::string> why = {fmt::format("{} of its entries", paths.size())};
    for (const std::string& path : paths) {
      why.merge(needs[path]);
      needs.erase(path);
    }
    needs[parent].merge(why);
    changed = true;
  }
  if (changed) reduce(needs);
  return changed;
}

/// As a profile names it: below ~ or ${CWD} where it is.
std::string entry_of(const std::string& path, const Setting& setting) {
  for (auto [base, name] : {std::pair(setting.cwd, "${CWD}"), std::pair(setting.home, "~")}) {
    if (base.size() < 2 || !path_is_beneath(path, base)) continue;
    const std::string_view rest = path_relative(path, base);
    return rest.empty() ? name : fmt::format("{}/{}", name, rest);
  }
  return path;
}

/// At most three reasons, then how many more.
std::string join_reasons(const std::set<std::string>& reasons) {
  std::string text;
  std::size_t n = 0;
  for (const std::string& reason : reasons) {
    if (reason.empty()) continue;
    if (++n > kMany) continue;
    text += (text.empty() ? "" : "; ") + reason;
  }
  if (n > kMany) text += fmt::format("; and {} more", n - kMany);
  return text;
}

}  // namespace

bool looks_secret(std::string_view path) {
  constexpr std::string_view kWords[] = {"secret",  "token",    "password", "passwd", "credential",
                                         "keyring", "keystore", "wallet",   "cookie", "private"};
  constexpr std::string_view kEndings[] = {".pem",  ".key", ".p12", ".pfx", ".jks",
                                           ".kdbx", ".gpg", ".asc", ".age", ".ovpn"};
  constexpr std::string_view kBeginnings[] = {".env", "id_", ".netrc", ".pgpass", "authinfo"};
  // Certificates, which are public, have such names and places.
  for (std::string_view known : {"/etc/ssl/certs", "/usr", "/etc/passwd"}) {
    if (path_is_beneath(path, known)) return false;
  }
  std::string name(path_name(path));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  auto any = [](std::span<const std::string_view> words, auto test) {
    return std::any_of(words.begin(), words.end(), test);
  };
  return any(kWords, [&](std::string_view w) { return name.find(w) != name.npos; }) ||
         any(kEndings, [&](std::string_view w) { return name.ends_with(w); }) ||
         any(kBeginnings, [&](std::string_view w) { return name.starts_with(w); });
}

bool runs_later(const std::string& path, const Setting& setting) {
  if (path_is_beneath(path, setting.cwd)) return false;
  auto meets = [&](const std::string& place) {
    return path_is_beneath(path, place) || path_is_beneath(place, path);
  };
  return std::any_of(std::begin(kExecuted), std::end(kExecuted), [&](std::string_view place) {
    return meets(path_join(setting.home, place));  // an absolute one stays as it is
  });
}

std::vector<Grant> generalise_paths(std::vector<PathNeed> needs, List list, const Setting& setting,
                                    const std::vector<std::string>& covered) {
  Needs all;
  for (PathNeed& need : needs) {
    const bool granted = std::any_of(covered.begin(), covered.end(), [&](const std::string& path) {
      return path_is_beneath(need.path, path);
    });
    if (!granted) all[need.path].insert(std::move(need.why));
  }
  reduce(all);
  while (widen(all, setting)) {
  }
  std::vector<Grant> grants;
  for (const auto& [path, why] : all) {
    Grant grant;
    grant.list = list;
    // What is read may be gone the next time; what is written is to be there.
    grant.text = (list == List::read ? "?" : "") + entry_of(path, setting);
    grant.why = join_reasons(why);
    grants.push_back(std::move(grant));
  }
  return grants;
}

}  // namespace dirbox::learn
