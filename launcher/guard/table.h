#pragma once
#include <cstdint>
#include <span>
#include <string_view>

/// Which names in a tree make a program of the host execute something, or read from elsewhere what
/// it executes. The one table of guarded names.
namespace dirbox::guard {

enum class What {
  whole,      ///< any new content is a danger
  config,     ///< a git configuration: single keys are, see git_config.h
  gitfile,    ///< `.git` as a file: where it leads is
  commondir,  ///< of a git directory: only linked worktrees have one
  backlink,   ///< worktrees/ID/gitdir: git removes and repairs what it names
  strategy,   ///< rebase-merge/strategy: git executes `git-merge-` and what it says
  index,      ///< git's: single entries are, see git_index.h
  leading,    ///< behind a symlink, one of these three: any new content is a danger
  way,        ///< a symlink on the way to something guarded: a file in its place is none
  // What the host's swarm believes: told, and left as it is, since a director is to write it.
  swarm_code,       ///< swarm.py, which `swarm ralph spawn` executes
  swarm_workers,    ///< state.json: the panes into which swarm types
  swarm_heartbeat,  ///< what it types there, again and again
  swarm_loop,       ///< ralph/NAME/state.json: the file that it sends as a prompt
};
constexpr bool is_told(What what) { return what >= What::swarm_code; }

struct NameRule {
  std::string_view name;  ///< "*": every file but "*.sample"; "*.x", "x.*": with one thing more
  What what;
  const char* why;
};

struct Folder;
struct FolderRule {
  std::string_view name;  ///< "*": every directory
  const Folder* folder;
};

/// The bit of a character, the same one for a letter in either case. What is beyond ASCII may be
/// folded to any letter: it has all of them.
constexpr std::uint64_t initial_of(char first) {
  const auto c = static_cast<unsigned char>(first);
  if (c >= 0x80) return ~std::uint64_t{0};
  return std::uint64_t{1} << ((c & 0x1f) + ((c & 0x40) != 0 ? 32 : 0));
}

/// What else there is to a kind of directory.
struct Ways {
  bool open = false;               ///< other directories in it are as every directory of a tree,
  const Folder* others = nullptr;  ///< or of this kind
  bool no_links = false;  ///< git makes no symlinks in it, and writes through those of others
  bool late = false;      ///< what it holds at the start is told from its times, when it is visited
};

/// What is guarded in a directory of some kind.
struct Folder : Ways {
  constexpr Folder(std::string_view its_kind, std::span<const NameRule> its_names,
                   std::span<const FolderRule> its_folders, Ways ways = {})
      : Ways(ways), kind(its_kind), names(its_names), folders(its_folders) {
    auto note = [this](std::string_view name) {
      if (name.empty()) return;
      initials |= name.front() == '*' ? ~std::uint64_t{0} : initial_of(name.front());
    };
    for (const NameRule& rule : names) note(rule.name);
    for (const FolderRule& rule : folders) note(rule.name);
  }
  /// False for nearly every name that no rule knows: directories are long, and rules are many.
  constexpr bool may_know(std::string_view name) const {
    return !name.empty() && (initials & initial_of(name.front())) != 0;
  }

  std::string_view kind;
  std::span<const NameRule> names;
  std::span<const FolderRule> folders;
  std::uint64_t initials = 0;  ///< of all these names
};

/// A directory that the sandbox may write, or one within.
const Folder& tree_folder();
/// A git directory: `.git`, a bare repository, that of a submodule.
const Folder& git_folder();
/// A directory of hooks, whatever its name.
const Folder& hooks_folder();
/// Of a symlink where there shall be none.
const NameRule& link_rule();
/// True for the symlink by which git init finds out whether the file system has them.
bool is_probe(std::string_view name, std::string_view target);

/// A rule for more names than one.
constexpr bool is_pattern(const NameRule& rule) {
  return rule.name.starts_with('*') || rule.name.ends_with('*');
}
const NameRule* find_name(const Folder& folder, std::string_view name);
/// What the directory `name` in `folder` is; nullptr: nothing is guarded in it.
const Folder* find_folder(const Folder& folder, std::string_view name);
/// The same, but a directory of no kind of its own is as one of a tree, wherever it is: a symlink
/// could show it.
const Folder& folder_in(const Folder& folder, std::string_view name);
/// True for a name that `folder` knows as a directory of a kind of its own.
bool is_special(const Folder& folder, std::string_view name);

}  // namespace dirbox::guard
