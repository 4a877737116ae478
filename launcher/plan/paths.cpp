#include "launcher/plan/paths.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "launcher/base/glob.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/plan/explain.h"
#include "launcher/plan/sockets.h"
#include "launcher/plan/worktree.h"

namespace dirbox::plan {
namespace {

/// An option takes no mark.
std::string hint_for_absent(const profiles::Entry& entry) {
  if (entry.origin.line == 0) return "make it first; only a profile's entry may be absent";
  return fmt::format("if it may be absent, write \"?{}\"", entry.text);
}

std::string where(const profiles::Entry& entry) {
  return entry.origin.text() + ": \"" + escape_for_terminal(entry.text) + "\"";
}

}  // namespace

bool is_inside_work_tree(const std::string& text) {
  return text.starts_with("${CWD}") || text.starts_with("${PROJECT}");
}

std::string_view access_name(PathAccess access) {
  constexpr std::string_view kNames[] = {"hide", "protect", "write", "read"};
  return kNames[static_cast<int>(access)];
}

Result<std::string> expand_path(const profiles::Entry& entry, const Places& places) {
  struct Variable {
    std::string_view mark;
    const std::string& value;
  };
  const Variable variables[] = {{"~", places.home},
                                {"${CWD}", places.cwd},
                                {"${HOME}", places.home},
                                {"${PROJECT}", places.project},
                                {"${CLAUDE_PROJECT}", places.claude_project}};
  const std::string_view text = entry.text;
  std::string path;
  if (text.starts_with('/')) {
    path = text;
  } else {
    for (const Variable& variable : variables) {
      if (!text.starts_with(variable.mark)) continue;
      std::string_view rest = text.substr(variable.mark.size());
      if (!rest.empty() && rest.front() != '/') break;
      path.reserve(variable.value.size() + rest.size());
      path.append(variable.value).append(rest);
      break;
    }
  }
  if (path.empty() || path.find("${") != std::string::npos) {
    return fail("read a path", where(entry), "not absolute",
                "start it with /, ~, ${CWD}, ${HOME}, ${PROJECT} or ${CLAUDE_PROJECT}");
  }
  // ".." is left to the resolver: what it means depends on symlinks.
  return path;
}

std::string find_project(Resolver& resolver, const std::string& cwd, const std::string& home) {
  for (std::string at = cwd; at != "/" && !path_is_beneath(home, at); at = path_parent(at)) {
    // In a shared directory (/tmp) anybody can make a .git.
    if ((resolver.resolve(at).stat.mode & S_ISVTX) != 0) break;
    if (resolver.resolve(path_join(at, ".git")).stat.type != FileType::missing) return at;
  }
  return cwd;
}

Result<void> RuleSet::add_profile(const profiles::Profile& profile, bool forced) {
  using profiles::HomeMode;
  forced_ = forced;
  own_swarm_ = profile.swarm_state.value == profiles::SwarmState::own;
  rules_.reserve(profile.hide.size() + profile.read.size() + profile.write.size() + 64);
  index_rules();
  const bool private_home = profile.home.value == HomeMode::private_home;
  own_ = OwnPlaces(private_home ? resolver_.resolve(places_.home).path : std::string());
  profiles::Entry home;
  home.text = "~";
  home.origin = profile.home.origin;

  for (const auto& entry : profile.hide) {
    if (is_glob(entry.text)) continue;
    TRY_VOID(check_wildcards(entry, PathAccess::hide));
    TRY_VOID(add(entry, PathAccess::hide));
  }
  // What can be written is known before anything is granted: a symlink there leads to no grant,
  // whatever the order of the entries.
  for (const auto& entry : profile.write) {
    Resolver::Resolution found = resolver_.resolve(TRY(expand_path(entry, places_)));
    if (found.stat.type != FileType::missing) writable_.push_back(found.path);
  }
  if (profile.home.value == HomeMode::host) {
    writable_.push_back(resolver_.resolve(places_.home).path);
    TRY_VOID(add(home, PathAccess::write));
  }
  for (const auto& entry : profile.write) TRY_VOID(add(entry, PathAccess::write));
  for (const auto& entry : profile.copy) TRY_VOID(add(entry, PathAccess::read, true));
  for (const auto& entry : profile.sync) TRY_VOID(add_synced(entry));
  if (profile.worktrees.value) {
    if (auto worktrees = find_worktree_parent(resolver_, places_.project)) {
      profiles::Entry entry;
      entry.text = *worktrees;
      entry.origin = profile.worktrees.origin;
      TRY_VOID(add(entry, PathAccess::write));
    }
  }
  for (const auto& entry : profile.read) TRY_VOID(add(entry, PathAccess::read));
  if (profile.home.value == HomeMode::masked) TRY_VOID(add(home, PathAccess::read));
  for (const auto& entry : profile.sockets) TRY_VOID(add_socket(entry));
  for (const auto& entry : profile.protect) {
    if (is_glob(entry.text)) continue;
    TRY_VOID(check_wildcards(entry, PathAccess::protect));
    TRY_VOID(add_protected(entry));
  }
  TRY_VOID(add_globs(profile));
  hold_covered();
  hide_kernel_mounts();
  return keep_own_files();
}

Result<void> RuleSet::add(const profiles::Entry& entry, PathAccess access, bool copy) {
  std::string path = TRY(expand_path(entry, places_));
  if (access == PathAccess::hide) {
    TRY_VOID(add_hidden(entry, path));
    if (!entry.text.starts_with('~') || places_.account_home.empty()) return {};
    return add_hidden(entry, places_.account_home + entry.text.substr(1));
  }
  if (own_swarm_ && path == path_join(places_.home, ".swarm")) {
    // compile_swarm() mounts another directory there: the host's need not exist.
    put({path_join(plan_.home, ".swarm"), entry.text, access, FileType::directory, entry.origin});
    return {};
  }
  Resolver::Resolution found = resolver_.resolve(path);
  if (found.stat.err == ELOOP && !entry.optional) {
    return fail_errno("resolve a path", where(entry), ELOOP);
  }
  if (found.stat.type == FileType::missing) {
    if (entry.create) {
      if (TRY(check_grant(entry, path, found, access)))
        plan_.missing_directories.push_back(found.path);
    } else if (!entry.optional) {
      return fail_errno("grant a path", where(entry), found.stat.err, hint_for_absent(entry));
    }
    return {};
  }
  if (copy && found.stat.type != FileType::regular) {
    return fail("copy a file", where(entry), "it is not a regular file",
                "list a directory under read or write");
  }
  if (!TRY(check_grant(entry, path, found, access))) return {};
  keep_links(found);
  put({found.path, entry.text, access, found.stat.type, entry.origin, false, copy});
  return {};
}

/// Read-only where something else makes the path writable; where nothing does, it grants nothing.
Result<void> RuleSet::add_protected(const profiles::Entry& entry) {
  const std::string path = TRY(expand_path(entry, places_));
  if (own_swarm_ && path == path_join(places_.home, ".swarm")) {
    const std::string own = path_join(plan_.home, ".swarm");
    if (const PathRule* rule = find(own); rule != nullptr && rule->access == PathAccess::write) {
      put({own, entry.text, PathAccess::protect, FileType::directory, entry.origin});
      return {};
    }
  }
  Resolver::Resolution found = resolver_.resolve(path);
  if (found.stat.type == FileType::missing) return {};
  const PathRule* rule = decide(found.path);
  if (rule == nullptr || rule->access == PathAccess::hide || rule->access == PathAccess::read)
    return {};
  if (planted_hop(found) != nullptr) {
    plan_.warnings.push_back(
        {fmt::format("{}: a symlink on the way can be replaced inside: only {}, where it leads, is "
                     "protected",
                     escape_for_terminal(entry.text), escape_for_terminal(found.path)),
         entry.origin});
  }
  put({found.path, entry.text, PathAccess::protect, found.stat.type, entry.origin});
  return {};
}

Result<void> RuleSet::add_socket(const profiles::Entry& entry) {
  std::string path = TRY(expand_path(entry, places_));
  Resolver::Resolution found = resolver_.resolve(path);
  if (found.stat.type == FileType::missing) {
    if (entry.optional) return {};
    return fail_errno("grant a socket", where(entry), found.stat.err, hint_for_absent(entry));
  }
  if (found.stat.type != FileType::socket)
    return fail("grant a socket", where(entry), "it is no socket");
  auto danger = socket_danger(path_normalize(path));
  if (!danger) danger = socket_danger(found.path);
  if (danger && !entry.dangerous) {
    return fail("grant a socket", where(entry), *danger,
                "if that is meant, a profile says so: sockets = [{path = …, dangerous = true}]");
  }
  const PathRule* rule = decide(found.path);
  if (rule != nullptr && rule->access == PathAccess::hide && rule->path == found.path) {
    return fail("grant a socket", where(entry),
                fmt::format("{} hides {}", rule->origin.text(), escape_for_terminal(rule->path)),
                escape_for_terminal(describe_drop(*rule)));
  }
  Resolver::Resolution place = found;
  place.stat = {};  // what check_grant() says of sockets is meant for other lists
  if (!TRY(check_grant(entry, path, place, PathAccess::read))) return {};
  keep_links(found);
  put({found.path, entry.text, PathAccess::read, found.stat.type, entry.origin});
  if (danger) {
    plan_.waivers.push_back(
        {fmt::format("socket {}: {}", escape_for_terminal(found.path), *danger), entry.origin});
  }
  return {};
}

Result<void> RuleSet::add_hidden(const profiles::Entry& entry, const std::string& path) {
  Resolver::Resolution found = resolver_.resolve(path);
  // The link and what it leads to are the same secret (~/.gnupg -> ~/dotfiles/gnupg).
  for (const Resolver::Hop& hop : found.hops) {
    if (hop.last) put({hop.path, entry.text, PathAccess::hide, FileType::symlink, entry.origin});
  }
  if (found.stat.type == FileType::missing) {  // most of them: nothing can be said about them
    put({std::move(found.path), entry.text, PathAccess::hide, found.stat.type, entry.origin});
    return {};
  }
  PathRule rule{found.path, entry.text, PathAccess::hide, found.stat.type, entry.origin};
  if (found.stat.type == FileType::regular && found.stat.links > 1) {
    plan_.warnings.push_back(
        {fmt::format("{} has {} hard links: another name of it inside a grant would show it",
                     escape_for_terminal(found.path), found.stat.links),
         entry.origin});
  }
  put(rule);
  add_aliases(rule);
  return {};
}

/// A host's procfs that is mounted somewhere in a granted tree (of a chroot, of a container) shows
/// the host's processes, and sysfs the machine. A cgroup is shown where it is granted by name: a
/// file of it, written by its owner, ends or stops processes of the host.
void RuleSet::hide_kernel_mounts() {
  constexpr std::string_view kTypes[] = {
      "proc",       "sysfs",    "debugfs",   "tracefs",    "devpts", "devtmpfs",
      "securityfs", "configfs", "bpf",       "efivarfs",   "pstore", "binfmt_misc",
      "mqueue",     "fusectl",  "hugetlbfs", "rpc_pipefs", "cgroup", "cgroup2",
      "selinuxfs",  "smackfs",  "nfsd",      "resctrl"};
  for (const MountPoint& mount : facts_.mounts) {
    if (std::find(std::begin(kTypes), std::end(kTypes), mount.type) == std::end(kTypes)) continue;
    const PathRule* rule = decide(mount.point);
    if (rule == nullptr || rule->access == PathAccess::hide || own_.is_own(mount.point)) continue;
    if (mount.type.starts_with("cgroup") && rule->path == mount.point) continue;
    put({mount.point,
         {},
         PathAccess::hide,
         facts_.files->stat(mount.point).type,
         Origin{"built in", 0, 0}});
  }
}

/// The same directory may be mounted at several places of the host (bind mounts, btrfs subvolumes):
/// what is hidden at one is hidden at all.
void RuleSet::add_aliases(const PathRule& rule) {
  const MountPoint* holder = nullptr;
  for (const MountPoint& mount : facts_.mounts) {
    if (path_is_beneath(rule.path, mount.point) &&
        (holder == nullptr || mount.point.size() >= holder->point.size())) {
      holder = &mount;
    }
  }
  if (holder == nullptr) return;
  std::string inner =
      path_normalize(path_join(holder->root, path_relative(rule.path, holder->point)));
  for (const MountPoint& mount : facts_.mounts) {
    if (&mount == holder || mount.device != holder->device || mount.point == holder->point)
      continue;
    std::string alias = mount.point;  // of the hidden path, or of a part of it
    if (path_is_beneath(inner, mount.root)) {
      alias = path_normalize(path_join(mount.point, path_relative(inner, mount.root)));
    } else if (!path_is_beneath(mount.root, inner)) {
      continue;
    }
    FileType type = facts_.files->stat(alias).type;
    if (!path_is_beneath(alias, rule.path) && type != FileType::missing) {
      put({alias, rule.text, PathAccess::hide, type, rule.origin});
    }
  }
}

bool RuleSet::is_within_writable(std::string_view path) const {
  return std::any_of(writable_.begin(), writable_.end(), [&](const std::string& writable) {
    return path != writable && path_is_beneath(path, writable);
  });
}

const Resolver::Hop* RuleSet::planted_hop(const Resolver::Resolution& resolution) const {
  for (const Resolver::Hop& hop : resolution.hops) {
    if (is_within_writable(hop.path)) return &hop;
  }
  return nullptr;
}

void RuleSet::warn_of_planted(const std::string& path, const std::string& target) {
  plan_.warnings.push_back(
      {fmt::format("{} is not granted: {} in a writable tree leads there; if it is what you mean, "
                   "add --read {}",
                   escape_for_terminal(target), escape_for_terminal(path),
                   escape_for_terminal(shell_quote(target))),
       {}});
}

/// An earlier sandbox may have made the symlink, in a directory that is not granted this time.
/// Those in the home itself, and beneath its dot directories, are most likely the user's.
void RuleSet::warn_of_links(const profiles::Entry& entry, const Resolver::Resolution& found) {
  const std::string home = resolver_.resolve(places_.home).path;
  for (const Resolver::Hop& hop : found.hops) {
    if (!path_is_beneath(hop.path, home) || path_parent(hop.path) == home ||
        path_relative(hop.path, home).starts_with('.')) {
      continue;
    }
    plan_.warnings.push_back(
        {fmt::format("{} leads to {} by the symlink {}: make sure that it is "
                     "yours",
                     escape_for_terminal(entry.text), escape_for_terminal(found.path),
                     escape_for_terminal(hop.path)),
         entry.origin});
  }
}

/// A grant of the command line at or beneath a hidden path. Equal paths: hiding wins, so the option
/// would do nothing. Beneath: the longer path wins, and opens a part of what is hidden.
Result<void> RuleSet::check_option(const profiles::Entry& entry, const PathRule& hidden,
                                   const std::string& path) {
  const std::string by =
      fmt::format("{} hides {}", hidden.origin.text(), escape_for_terminal(hidden.path));
  if (path == hidden.path) {
    return fail(entry.origin.text(), escape_for_terminal(entry.text), by,
                "hiding wins; " + escape_for_terminal(describe_drop(hidden)));
  }
  plan_.warnings.push_back(
      {fmt::format("{} is granted although {}", escape_for_terminal(path), by), entry.origin});
  return {};
}

Result<bool> RuleSet::check_grant(const profiles::Entry& entry, const std::string& path,
                                  const Resolver::Resolution& found, PathAccess access) {
  auto refuse = [&](const std::string& why) -> Result<bool> {
    if (!entry.optional) {
      return fail(fmt::format("grant {} access", access_name(access)), where(entry), why,
                  "name the real path if that is what you mean");
    }
    plan_.warnings.push_back(
        {fmt::format("{}: not granted: {}", escape_for_terminal(entry.text), why), entry.origin});
    return false;
  };
  if (auto refusal = own_.refuse(found.path, access, found.stat)) {
    if (forced_ && (entry.text == "${CWD}" || entry.text == "${PROJECT}")) {
      plan_.warnings.push_back(
          {fmt::format("{} is not granted: {}", escape_for_terminal(path), refusal->reason),
           entry.origin});
      return false;
    }
    if (entry.text == "${CWD}") {
      return fail("use the working directory", escape_for_terminal(path), refusal->reason,
                  kCwdHint);
    }
    return fail(fmt::format("grant {} access", access_name(access)), where(entry), refusal->reason,
                refusal->hint);
  }
  // A symlink to where the sandbox may write anyway gives nothing away.
  const Resolver::Hop* planted = planted_hop(found);
  if (planted != nullptr && !is_within_writable(found.path)) {
    return refuse(fmt::format(
        "the symlink {} on the way lies in a writable tree, where the sandbox can point it "
        "anywhere",
        escape_for_terminal(planted->path)));
  }
  if (is_inside_work_tree(entry.text) &&
      !path_is_beneath(found.path,
                       entry.text.starts_with("${CWD}") ? places_.cwd : places_.project)) {
    return refuse("a symlink leads out of the work tree, to " + escape_for_terminal(found.path));
  }
  const PathRule* rule = decide(found.path);
  // A symlink into a hidden tree does not open it, however long the path is that it leads to.
  if (rule != nullptr && rule->access == PathAccess::hide && !found.hops.empty() &&
      !path_is_beneath(path_normalize(path), rule->path)) {
    return refuse(fmt::format("a symlink leads into {}, which {} hides",
                              escape_for_terminal(rule->path), rule->origin.text()));
  }
  if (rule != nullptr && rule->access == PathAccess::hide && entry.origin.line == 0) {
    TRY_VOID(check_option(entry, *rule, found.path));
  }
  const bool readable = rule != nullptr && rule->access != PathAccess::hide;
  if (access == PathAccess::write || !readable) warn_of_links(entry, found);
  return true;
}

bool RuleSet::add_found(const std::string& path, const std::string& why) {
  Resolver::Resolution found = resolver_.resolve(path);
  if (found.stat.type == FileType::missing) return false;
  const PathRule* rule = decide(found.path);
  if (rule != nullptr && rule->access == PathAccess::hide) return false;
  if (rule == nullptr && own_.refuse(found.path, PathAccess::read, found.stat)) return false;
  keep_links(found);
  if (rule != nullptr) return true;
  if (hides_beneath(found.path) && found.stat.type == FileType::directory) return false;
  put({found.path, why, PathAccess::read, found.stat.type, Origin{why, 0, 0}});
  plan_.notes.push_back(
      {fmt::format("{} is readable: {}", escape_for_terminal(found.path), why), {}});
  return true;
}

void RuleSet::keep_links(const Resolver::Resolution& resolution) {
  for (const Resolver::Hop& hop : resolution.hops) {
    bool known = std::any_of(links_.begin(), links_.end(),
                             [&](const Resolver::Hop& link) { return link.path == hop.path; });
    if (!known) links_.push_back(hop);
  }
}

}  // namespace dirbox::plan
