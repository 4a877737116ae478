#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "launcher/base/glob.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/guard/table.h"
#include "launcher/plan/paths.h"
#include "launcher/plan/worktree.h"
#include "profiles/selection.h"

namespace dirbox::plan {
namespace {

constexpr std::size_t kMaxAlternates = 64 << 10;

enum class Own { profiles, state, cache, sockets };

struct OwnDirectory {
  Own what;
  std::string_view variable;
  std::string_view fallback;  ///< below the home
};
// Profiles and projects; trust, logs, quarantine; compiled filters; sockets of the sessions
// (session/run_directory.h), which elsewhere in /run and in /tmp, where the sandbox has its own,
// need not be hidden.
constexpr OwnDirectory kOwn[] = {{Own::profiles, "XDG_CONFIG_HOME", ".config"},
                                 {Own::state, "XDG_STATE_HOME", ".local/state"},
                                 {Own::cache, "XDG_CACHE_HOME", ".cache"},
                                 {Own::sockets, "XDG_RUNTIME_DIR", ""}};

}  // namespace

/// What decides about the next launch is out of reach whatever the profile says: the project's file
/// and this program are read-only, the directories of dirbox are hidden. Where the sandbox could
/// make such a directory, or move the one above it away, it is made first and what leads to it held
/// in place.
Result<void> RuleSet::keep_own_files() {
  profiles::Entry entry;
  entry.origin = {"built in", 0, 0};
  entry.text = "${PROJECT}/.dirbox.toml";
  TRY_VOID(add_protected(entry));
  for (const OwnDirectory& own : kOwn) {
    const std::string_view set = facts_.variable(own.variable);
    const std::string base = set.starts_with('/')       ? std::string(set)
                             : own.what == Own::sockets ? fmt::format("/run/user/{}", facts_.uid)
                                                        : path_join(facts_.home, own.fallback);
    entry.text = path_join(base, "dirbox");
    TRY_VOID(add_hidden(entry, entry.text));
    const Resolver::Resolution found = resolver_.resolve(entry.text);
    // A grant beneath what is hidden is the nearer rule, and the working directory is one.
    if (path_is_beneath(places_.cwd, found.path)) {
      return fail("use the working directory", escape_for_terminal(places_.cwd),
                  "dirbox keeps there what it believes at the next start",
                  "copy what is needed to a directory of its own");
    }
    if (set.starts_with('/') && is_of_work_tree(entry.text, found)) {
      plan_.foreign_cache |= own.what == Own::cache;
      plan_.guard.foreign_state |= own.what == Own::state;
      if (own.what == Own::profiles) {
        plan_.warnings.push_back(
            {fmt::format("profiles are looked for in {} first: whoever wrote this work tree can "
                         "have put them there",
                         escape_for_terminal(entry.text)),
             {std::string(own.variable), 0, 0}});
      }
    }
    const PathRule* above = decide(path_parent(found.path));
    if (above == nullptr || above->access != PathAccess::write) continue;
    if (found.stat.type == FileType::missing) plan_.missing_directories.push_back(found.path);
    hold(path_parent(found.path));
  }
  keep_profiles();
  const PathRule* above = decide(facts_.self);
  if (above == nullptr || above->access != PathAccess::write) return {};
  put({facts_.self, facts_.self, PathAccess::protect, FileType::regular, entry.origin});
  hold(path_parent(facts_.self));
  plan_.notes.push_back({fmt::format("{} cannot be changed: it is what runs this sandbox",
                                     escape_for_terminal(facts_.self)),
                         {}});
  return {};
}

/// Whether `path`, or what leads from it to `found`, lies in the project, where a clone has what
/// its author put there.
bool RuleSet::is_of_work_tree(const std::string& path, const Resolver::Resolution& found) const {
  const auto lies_in = [&](const std::string& at) { return path_is_beneath(at, places_.project); };
  return lies_in(path_normalize(path)) || lies_in(found.path) ||
         std::any_of(found.hops.begin(), found.hops.end(),
                     [&](const Resolver::Hop& hop) { return lies_in(hop.path); });
}

/// The files of the profile, and which profile a directory gets: named by a path, or by a symlink
/// of a dotfile manager, they can lie in a tree that is writable inside.
void RuleSet::keep_profiles() {
  const std::string_view config = facts_.variable("XDG_CONFIG_HOME");
  std::vector<std::string> files{
      path_join(config.starts_with('/') ? std::string(config) : path_join(facts_.home, ".config"),
                path_join("dirbox", profiles::kSelectionFile))};
  for (const std::string& file : plan_.chain) {
    if (file.find('/') != file.npos) files.push_back(path_join(facts_.cwd, file));
  }
  const Origin origin{"built in", 0, 0};
  for (const std::string& file : files) {
    const Resolver::Resolution found = resolver_.resolve(file);
    const PathRule* rule = decide(found.path);
    if (found.stat.type != FileType::regular || rule == nullptr ||
        rule->access != PathAccess::write)
      continue;
    if (planted_hop(found) != nullptr) {
      plan_.warnings.push_back(
          {fmt::format("{} decides about the next start, and a symlink on the way to it can be "
                       "replaced inside",
                       escape_for_terminal(file)),
           origin});
    }
    put({found.path, found.path, PathAccess::protect, FileType::regular, origin});
    hold(path_parent(found.path));
  }
}

Result<void> RuleSet::add_worktree(const std::string& project) {
  const PathRule* rule = decide(project);
  const auto found = find_gitfile_target(resolver_, project);
  if (rule == nullptr || rule->access == PathAccess::hide) return {};
  if (!found) {
    if (auto common = find_repository(resolver_, project)) show_repository(*common);
    return {};
  }
  const std::string& target = found->path;
  const PathAccess access =
      rule->access == PathAccess::write ? PathAccess::write : PathAccess::read;
  const PathRule* granted = decide(target);
  if (granted != nullptr && granted->access == PathAccess::hide) {
    return fail("use the repository of a gitfile", escape_for_terminal(project),
                fmt::format("{} hides {}", granted->origin.text(), escape_for_terminal(target)));
  }
  if (granted != nullptr) {
    const auto worktree = find_worktree(resolver_, project);
    if (worktree && *worktree) show_repository((*worktree)->common_dir);
    return {};
  }
  const auto worktree = TRY(find_worktree(resolver_, project));
  if (!worktree) return {};
  const Origin origin{"git worktree", 0, 0};
  const std::string& common = worktree->common_dir;
  put({common, common, access, FileType::directory, origin});
  keep_links(*found);
  writable_.push_back(common);
  plan_.notes.push_back(
      {fmt::format("{} can be {}: the repository of this {}", escape_for_terminal(common),
                   access == PathAccess::write ? "written" : "read",
                   worktree->linked ? "worktree" : "submodule"),
       {}});
  if (access != PathAccess::write) {
    show_repository(common);
    return {};
  }
  auto protect = [&](const std::string& path) {
    const FileType type = resolver_.resolve(path).stat.type;
    if (type == FileType::directory) put({path, path, PathAccess::protect, type, origin});
  };
  protect(path_join(common, "hooks"));
  const std::string admin = path_join(common, "worktrees");
  for (const Child& child : resolver_.files().list(admin)) {
    const std::string path = path_join(admin, child.name);
    if (path != worktree->git_dir) protect(path);
  }
  show_repository(common);
  return {};
}

/// What belongs to the repository and lies elsewhere.
void RuleSet::show_repository(const std::string& common) {
  show_worktrees(common);
  const std::string objects = path_join(common, "objects");
  const std::string file = path_join(objects, "info/alternates");
  const std::string text = resolver_.files().head(file, kMaxAlternates);
  std::uint32_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string line(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.empty() || line.starts_with('#')) continue;
    const std::string path = resolver_.resolve(path_normalize(path_join(objects, line))).path;
    const PathRule* granted = decide(path);
    if (granted != nullptr && granted->access != PathAccess::hide) continue;
    plan_.warnings.push_back(
        {fmt::format("git lacks the objects in {}, which this repository shares: --read {}",
                     escape_for_terminal(path), shell_quote(path)),
         {file, number, 0}});
  }
}

/// git forgets a worktree whose gitfile is not there, at the next `git gc`, and what was staged in
/// it: those of the repository are shown. Where one cannot be, what git knows of it is read-only.
void RuleSet::show_worktrees(const std::string& common) {
  constexpr std::size_t kMost = 64;  // mounts
  const Origin origin{"git worktree", 0, 0};
  const std::string admin = path_join(common, "worktrees");
  const PathRule* rule = decide(admin);
  if (rule == nullptr || rule->access != PathAccess::write) return;
  std::size_t shown = 0;
  for (const Child& child : resolver_.files().list(admin)) {
    const std::string path = path_join(admin, child.name);
    const auto gitfile = find_backlink(resolver_, path);
    if (!gitfile) continue;
    const PathRule* granted = decide(gitfile->path);
    if (granted != nullptr && granted->access != PathAccess::hide) continue;
    const bool is_protected = decide(path)->access == PathAccess::protect;
    if (++shown > kMost && is_protected) continue;
    if (shown > kMost) {
      put({admin, admin, PathAccess::protect, FileType::directory, origin});
      plan_.notes.push_back(
          {fmt::format("{} cannot be written: git would forget worktrees that are not shown",
                       escape_for_terminal(admin)),
           {}});
      return;
    }
    const auto worktree = find_worktree(resolver_, path_parent(gitfile->path));
    if (granted == nullptr && worktree && *worktree && (*worktree)->git_dir == path) {
      put({gitfile->path, gitfile->path, PathAccess::read, FileType::regular, origin});
      keep_links(*gitfile);
    } else if (!is_protected) {
      put({path, path, PathAccess::protect, FileType::directory, origin});
    }
  }
  if (shown == 0) return;
  plan_.notes.push_back(
      {fmt::format("of {} more {} of this repository the .git file can be read, lest git forget {}",
                   shown, shown == 1 ? "worktree" : "worktrees", shown == 1 ? "it" : "them"),
       {}});
}

/// `path` and what is above it, up to the grant that it lies in, cannot be renamed inside. Nothing
/// where it cannot be written.
void RuleSet::hold(const std::string& path) {
  const PathRule* grant = decide(path);
  if (grant == nullptr || grant->access != PathAccess::write) return;
  const std::string top = grant->path;  // put() moves the rules
  for (std::string at = path; at != top && path_is_beneath(at, top); at = path_parent(at)) {
    const PathRule* rule = decide(at);
    if (rule == nullptr || rule->path == at) continue;
    const FileType type = resolver_.resolve(at).stat.type;
    if (type != FileType::directory) continue;
    PathRule held{at, at, PathAccess::write, type, {"built in", 0, 0}};
    held.mounted = true;
    put(held);
  }
}

/// Where the directory above a hidden file goes, the file goes, and nothing hides it there the next
/// time; in place of a protected one another would be made. What a pattern names is found wherever
/// it is, and what the guard knows by its name as well.
void RuleSet::hold_covered() {
  std::vector<std::string> above;
  for (const PathRule& rule : rules_) {
    std::string parent = path_parent(rule.path);
    const bool covers = rule.access == PathAccess::hide ||
                        (rule.access == PathAccess::protect &&
                         !guard::is_special(guard::tree_folder(), path_name(parent)));
    if (covers && rule.type != FileType::missing && !is_glob(rule.text))
      above.push_back(std::move(parent));
  }
  for (const std::string& path : above) hold(path);
}

}  // namespace dirbox::plan
