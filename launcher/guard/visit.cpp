#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/guard/git_config.h"
#include "launcher/guard/guard.h"

// The part of the guard that looks at directories and names; guard.cpp has the events, watches.cpp
// the watches.

namespace dirbox::guard {
namespace {

constexpr std::size_t kMostShown = 120;  // bytes of a path

/// Seconds: the times of some file systems are that coarse.
constexpr time_t kSurelyBefore = 2;
constexpr NameRule kLink{"", What::whole, "it stands for a directory whose files are executed"};

std::string_view trimmed(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  return end == text.npos ? std::string_view() : text.substr(0, end + 1);
}

/// Whether `path` in a tree is a file that no symlink leads to, or is not there.
bool is_plain_file(int tree, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const UniqueFd file(
      static_cast<int>(::syscall(SYS_openat2, tree, path.c_str(), &how, sizeof how)));
  struct stat status {};
  return file.valid() ? ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode)
                      : errno == ENOENT;
}

/// Whether a path means what its text says: ".." after a name is where that name leads, and git
/// ends a path where C does.
bool is_straight(std::string_view path) {
  if (std::any_of(path.begin(), path.end(), [](char c) { return c >= 0 && c < ' '; })) return false;
  bool named = path.starts_with('/');
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    if (part == ".." && named) return false;
    named |= !part.empty() && part != "." && part != "..";
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return true;
}

/// A symlink where git makes none.
bool is_strange_link(int directory, const std::string& name) {
  char target[8];
  const ssize_t size = ::readlinkat(directory, name.c_str(), target, sizeof target);
  return size >= 0 && !is_probe(name, {target, static_cast<std::size_t>(size)});
}

/// lstat(2) of what is at `path` in a tree. False for all but directories.
bool stat_directory(int tree, const std::string& path, struct stat& status) {
  return ::fstatat(tree, path.empty() ? "." : path.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISDIR(status.st_mode);
}

std::string child_path(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "/" + name;
}

enum class Age { old, changed, made };  ///< before the start, or since

/// What a directory says of itself: its times are the kernel's, not the sandbox's.
Age age_of(int directory, const std::string& name, const struct timespec& started) {
  struct statx status {};
  if (::statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_CTIME | STATX_BTIME, &status) != 0) {
    return Age::changed;
  }
  auto since_start = [&](const struct statx_timestamp& time) {
    return is_since({static_cast<time_t>(time.tv_sec), static_cast<long>(time.tv_nsec)}, started);
  };
  if ((status.stx_mask & STATX_BTIME) != 0 && since_start(status.stx_btime)) return Age::made;
  return since_start(status.stx_ctime) ? Age::changed : Age::old;
}

}  // namespace

std::string Guard::full_path(std::size_t tree, const std::string& path) const {
  return path.empty() ? spec_.trees[tree] : path_join(spec_.trees[tree], path);
}

std::string Guard::full_name(const Node& node, const std::string& name) const {
  return path_join(full_path(node.tree, node.path), name);
}

UniqueFd Guard::open_place(std::size_t tree, const std::string& path) const {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  auto open = [&] {
    return UniqueFd(static_cast<int>(::syscall(
        SYS_openat2, trees_[tree].get(), path.empty() ? "." : path.c_str(), &how, sizeof how)));
  };
  UniqueFd fd = open();
  // One that can be read and not searched shows no file either.
  const bool closed = !fd.valid() || ::faccessat(fd.get(), ".", X_OK, 0) != 0;
  if (closed && errno == EACCES && add_rights_to_look(tree, path)) fd = open();
  return fd;
}

/// The directory that a watch is of; not valid where another one has its path.
UniqueFd Guard::open_node(const Node& node) const {
  UniqueFd fd = open_place(node.tree, node.path);
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0 || status.st_dev != node.device ||
      status.st_ino != node.inode) {
    return {};
  }
  return fd;
}

/// Watches a directory and looks at its guarded names. The directories in it come next: at once
/// where the sandbox made or changed them and they are few, else when there is time. In one that
/// cannot be watched they are left to finish().
void Guard::visit(const Place& first) {
  std::deque<Place> now{first};
  for (std::size_t visited = 0; !now.empty(); now.pop_front(), ++visited) {
    if (visited == kAtOnce && !ending_) {
      // Those that were changed go before the others.
      if (has_room(now.size())) queue_.insert(queue_.begin(), now.begin(), now.end());
      if (timer_ == 0) timer_ = loop_.after(kBetweenSlices, [this] { walk_slice(); });
      return;
    }
    if (ending_ && visited_++ == kAtMost) return;
    const Place place = now.front();
    struct stat status {};
    std::vector<std::string> folders;
    // At the end, one that is as it was needs not even be opened.
    if (ending_ && stat_directory(trees_[place.tree].get(), place.path, status) &&
        is_plain(place, status, folders)) {
      for (const std::string& name : folders) {
        if (!place.alone)
          later_.push_back({place.tree, child_path(place.path, name), place.made, false});
      }
      continue;
    }
    UniqueFd directory = open_place(place.tree, place.path);
    if (!directory.valid()) {
      if (errno == ENAMETOOLONG) {
        complain("guard: not looked through, for its path is too long: " +
                 escape_for_terminal(full_path(place.tree, place.path)).substr(0, kMostShown) +
                 "…");
        continue;
      }
      // Another user's cannot be written by the sandbox either.
      if (stat_directory(trees_[place.tree].get(), place.path, status) &&
          status.st_uid == ::geteuid() && (status.st_mode & 0500) != 0500) {
        complain("guard: not looked through, for it cannot be read: " +
                 escape_for_terminal(full_path(place.tree, place.path)));
      }
      continue;
    }
    const Folder* folder = folder_at(place.tree, place.path, directory.get());
    if (folder == nullptr) continue;
    // The watch first: what comes after the look is an event.
    const bool seen = ending_ || watch(place, directory.get(), *folder);
    unwatched_ |= !seen;
    if (ending_) note_kind(place, folder);
    if (::fstat(directory.get(), &status) != 0) continue;
    const Node node{place.tree, place.path, folder, 0, 0, {}};
    asked_.reset();
    if (ending_ || !is_plain(place, status, folders))
      folders = look_in(place, node, directory.get(), status);
    note_place(place, directory.get(), *folder);
    if (!seen) continue;
    for (const std::string& name : folders) {
      if (place.alone && !is_special(*folder, name) && folder->others == nullptr) continue;
      const Age age = place.made ? Age::made : age_of(directory.get(), name, started_);
      Place child{place.tree, child_path(place.path, name), age == Age::made, place.alone};
      if (age != Age::old || is_special(*folder, name)) {
        now.push_back(std::move(child));
      } else if (has_room(1)) {
        (find_folder(*folder, name) != nullptr ? queue_ : later_).push_back(std::move(child));
      }
    }
  }
}

/// Looks at the guarded names of a directory, and returns the directories in it. `status`: its own,
/// from before.
std::vector<std::string> Guard::look_in(const Place& place, const Node& node, int directory,
                                        const struct stat& status) {
  const std::size_t most = place.made || ending_ || !held_.empty() ? SIZE_MAX : kMaxEntries;
  // Any name may be guarded.
  const bool by_path = !held_.empty() || indirect_.is_way(full_path(node.tree, node.path));
  const auto [entries, whole] = list_entries(directory, most, by_path ? nullptr : node.folder);
  unwatched_ |= !whole;
  if (!whole) {
    for (const NameRule& rule : node.folder->names) {
      if (!is_pattern(rule)) look(node, directory, std::string(rule.name));
    }
  }
  std::vector<std::string> folders;
  bool plain = whole && !by_path && node.folder == &tree_folder() &&
               status.st_ctim.tv_sec + kSurelyBefore < started_.tv_sec;
  for (const auto& [name, is_directory] : entries) {
    const bool special = is_special(*node.folder, name);
    plain &= !special;
    if (is_directory) {
      folders.push_back(name);
    } else if (special || node.folder->no_links || rule_of(node, name) != nullptr) {
      plain = false;
      look(node, directory, name);
    }
  }
  if (plain) plain_.add(directory, status, folders);
  return folders;
}

/// Whether a directory is known to hold nothing that is guarded; then `folders` are those in it.
bool Guard::is_plain(const Place& place, const struct stat& status,
                     std::vector<std::string>& folders) {
  return held_.empty() && !indirect_.is_way(full_path(place.tree, place.path)) &&
         plain_.find(status, folders) && folder_at(place.tree, place.path, -1) == &tree_folder();
}

/// Without a watch: what a directory is, for those in it. It may be another one than when it was
/// watched, or have become a git directory.
void Guard::note_kind(const Place& place, const Folder* folder) {
  const std::string path = full_path(place.tree, place.path);
  const auto known = watches_.find(path);
  if (known != watches_.end()) {
    nodes_[known->second].folder = folder;
  } else if (folder == &git_folder()) {
    watches_[path] = --remembered_;
    nodes_[remembered_] = {place.tree, place.path, folder, 0, 0, {}};
  }
}

/// Whether so many directories can be put off. They are not remembered without end: what moves
/// large trees about would have them remembered again and again.
bool Guard::has_room(std::size_t count) {
  if (ending_ || queue_.size() + later_.size() + count <= kMaxQueue) return true;
  unwatched_ = true;
  return false;
}

/// What gitfiles lead to. One may lead back to where it is, and many to the same; what lies beyond
/// is no git directory for the first.
void Guard::visit_followed() {
  std::set<std::string> done;
  for (const Place& place : std::exchange(followed_, {})) {
    if (done.insert(full_path(place.tree, place.path)).second) visit(place);
  }
  followed_.clear();
}

/// After the end: every directory in which something may have happened unseen.
void Guard::visit_rest() {
  if (unwatched_) {
    queue_.clear();
    later_.clear();
    for (std::size_t tree = 0; tree < trees_.size(); ++tree) queue_.push_back({tree, "", true});
  }
  while ((!queue_.empty() || !later_.empty()) && visited_ < kAtMost) {
    if (queue_.empty()) queue_.swap(later_);
    const Place place = std::move(queue_.front());
    queue_.pop_front();
    visit(place);
  }
  if (visited_ >= kAtMost) {
    complaints_.push_back(fmt::format(
        "guard: more than {} directories can be written; not all were looked through", kAtMost));
  }
}

void Guard::look(const Node& node, int directory, const std::string& name) {
  const NameRule* rule = rule_of(node, name);
  if (rule == nullptr && !is_special(*node.folder, name)) {
    if (!node.folder->no_links || !is_strange_link(directory, name)) return;
    rule = &link_rule();
  }
  const auto entry = look_at(directory, name);
  if (!entry) return;
  if (rule == nullptr) {
    if (S_ISDIR(entry->status.st_mode)) return;
    rule = &kLink;
  }
  const std::string path = full_name(node, name);
  const auto known = before_.find(path);
  const bool made = known == before_.end() &&
                    (is_since(entry->status.st_ctim, started_) ||
                     (node.folder != &tree_folder() && is_strange(node.tree, node.path)));
  if (known == before_.end() && !made) {
    before_.emplace(path, before_from(*entry));
    watch_file(node, directory, name);
  }
  if (known == before_.end()) note_leads(node, name, *entry, made);
  if (rule->what == What::index && S_ISREG(entry->status.st_mode))
    return look_at_index(node, directory, name, *rule, *entry);
  if (rule->what == What::config && is_other_format(before_of(path, *entry), *entry))
    rule = &kOtherFormat;
  auto judge = [&] {
    return judge_entry(
        *rule, before_of(path, *entry), *entry, path_to_tree(node),
        [&](What what, const std::string& text) { return follow(node, what, text); });
  };
  auto found = judge();
  // What stands there may be what another sandbox had planted.
  if (before_.contains(path) && (!found.empty() || is_since(entry->status.st_ctim, started_))) {
    others_.look(in_ns(started_));
    found = judge();
  }
  if (!found.empty() && is_put_off(node, directory, name, *rule, *entry, found)) return;
  if (found.empty()) {
    if (rule->what == What::gitfile && !before_.contains(path) && !ending_) {
      // Beyond that every directory is looked through at the end.
      unwatched_ |= gitfiles_.size() >= kMaxQueue;
      if (!unwatched_) gitfiles_.emplace_back(node, name);
    }
    // Of a repository that is made here, what was judged when it had another format.
    if (rule->what == What::config && !before_.contains(path)) look(node, directory, "index");
    // What was written between the look and the watch is no event.
    if (S_ISREG(entry->status.st_mode) && watch_file(node, directory, name))
      look(node, directory, name);
    return;
  }
  undo(node, directory, name, *rule, held_.hides(path) ? Before{} : before_of(path, *entry), *entry,
       std::move(found));
}

/// Whether where something leads is watched as well, or is where only git puts it.
bool Guard::follow(const Node& node, What what, const std::string& text) {
  std::string_view target = trimmed(text);
  const std::string here = full_path(node.tree, node.path);
  // Without a path it is one of git's own, or one that the user has installed.
  if (what == What::strategy) return target.find('/') == target.npos;
  if (what == What::leading) return false;
  if (what == What::way) return true;
  if (what == What::commondir) return node.folder->kind == "worktree" && target == "../..";
  if (what == What::gitfile) {
    constexpr std::string_view kMark = "gitdir: ";
    if (!target.starts_with(kMark)) return true;  // git refuses it
    target.remove_prefix(kMark.size());
  }
  if (!is_straight(target)) return false;
  const std::string path = path_normalize(path_join(here, target));
  if (what == What::swarm_loop) {
    const auto place = find_place(path);
    return place && is_plain_file(trees_[place->tree].get(), place->path);
  }
  for (std::size_t tree = 0; tree < spec_.trees.size(); ++tree) {
    if (!path_is_beneath(path, spec_.trees[tree])) continue;
    if (what == What::backlink) return path_name(path) == ".git";
    const std::string inner(path_relative(path, spec_.trees[tree]));
    UniqueFd directory = open_place(tree, inner);
    // Not there yet, as git submodule writes it first: it will be made in a directory of the tree.
    if (!directory.valid()) return errno == ENOENT && !ending_;
    followed_.push_back({tree, inner, false, true});
    return true;
  }
  return false;
}

}  // namespace dirbox::guard
