#include "launcher/guard/place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <optional>

#include "launcher/base/path.h"
#include "launcher/guard/entry.h"
#include "launcher/guard/names.h"

namespace dirbox::guard {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's MAXSYMLINKS
constexpr std::uint64_t kScoped = RESOLVE_BENEATH | RESOLVE_IN_ROOT;

UniqueFd open_directory(int at, const std::string& path, std::uint64_t resolve) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = resolve | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, at, path.c_str(), &how, sizeof how)));
}

std::optional<std::string> read_link(int directory, const std::string& name) {
  char text[PATH_MAX];
  const ssize_t size = ::readlinkat(directory, name.c_str(), text, sizeof text);
  if (size <= 0 || size == sizeof text) return std::nullopt;
  return std::string(text, static_cast<std::size_t>(size));
}

/// Where a descriptor is. A path of more than a page has none.
std::optional<std::string> path_of(const UniqueFd& fd) {
  return read_link(AT_FDCWD, fmt::format("/proc/self/fd/{}", fd.get()));
}

bool is_file(int directory, const std::string& path) {
  struct stat status {};
  return ::fstatat(directory, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/// A directory of no kind of its own is as one of a tree, wherever it is: a symlink could lead
/// there.
const Folder* kind_in(const Folder& folder, std::string_view name) {
  const Folder* kind = find_folder(folder, name);
  return kind != nullptr ? kind : &tree_folder();
}

/// The directory that a relative name begins at, in this process's mounts.
UniqueFd open_base(const Name& name) {
  UniqueFd fd = open_directory(AT_FDCWD, name.base, RESOLVE_NO_SYMLINKS);
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0 || status.st_dev != name.device ||
      status.st_ino != name.inode) {
    return {};
  }
  return fd;
}

}  // namespace

std::string Place::path() const { return name == "." ? parent : path_join(parent, name); }

Places::Places(std::vector<std::string> trees, Indirect indirect)
    : trees_(std::move(trees)), indirect_(std::move(indirect)) {}

const std::string* Places::tree_of(const std::string& path) const {
  const auto found = std::find_if(trees_.begin(), trees_.end(), [&](const std::string& tree) {
    return path_is_beneath(path, tree);
  });
  return found != trees_.end() ? &*found : nullptr;
}

Places::Found Places::find(const Name& name, bool follow, std::uint64_t resolve, Place& out) const {
  if (name.path.empty()) return find_base(name, out);
  std::string path = name.path;
  const bool absolute = path.starts_with('/');
  UniqueFd start;
  if (!absolute || (resolve & kScoped) != 0) {
    start = open_base(name);
    if (!start.valid()) return Found::elsewhere;
  }
  for (int links = 0; links < kMaxLinks; ++links) {
    out.slash = false;
    while (path.size() > 1 && path.ends_with('/')) {
      path.pop_back();
      out.slash = true;
    }
    if (path.empty()) return Found::elsewhere;
    const std::size_t cut = path.rfind('/');
    out.name = path.substr(cut == path.npos ? 0 : cut + 1);
    std::string directory = cut == path.npos ? "." : cut == 0 ? "/" : path.substr(0, cut);
    if (out.name.empty() || out.name == "." || out.name == "..") {
      directory = path;
      out.name = ".";
    }
    out.directory = open_directory(start.valid() ? start.get() : AT_FDCWD, directory, resolve);
    if (!out.directory.valid()) return Found::elsewhere;
    auto parent = path_of(out.directory);
    if (!parent || !is_inside(*parent)) return Found::elsewhere;
    out.parent = std::move(*parent);
    const bool leads_on = (follow || out.slash) && out.name != ".";
    auto target = leads_on ? read_link(out.directory.get(), out.name) : std::nullopt;
    if (!target) {
      out.folder = folder_of(out.parent);
      return Found::yes;
    }
    if ((resolve & ~RESOLVE_NO_MAGICLINKS) != 0) return Found::refused;
    path = *target + (out.slash ? "/" : "");
    start = target->starts_with('/') ? UniqueFd() : std::move(out.directory);
  }
  return Found::elsewhere;
}

/// What a descriptor of the caller is of, as long as it has the name that it was opened by.
Places::Found Places::find_base(const Name& name, Place& out) const {
  out.directory = open_base(name);
  out.name = ".";
  out.parent = name.base;
  if (!out.directory.valid()) {
    out.name = path_name(name.base);
    out.directory =
        open_directory(AT_FDCWD, std::string(path_parent(name.base)), RESOLVE_NO_SYMLINKS);
    struct stat status {};
    if (!out.directory.valid() ||
        ::fstatat(out.directory.get(), out.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        S_ISDIR(status.st_mode) || status.st_dev != name.device || status.st_ino != name.inode) {
      return Found::elsewhere;
    }
    out.parent = path_parent(name.base);
  }
  out.slash = false;
  auto parent = path_of(out.directory);
  if (!parent || *parent != out.parent || !is_inside(out.parent)) return Found::elsewhere;
  out.folder = folder_of(out.parent);
  return Found::yes;
}

/// What a directory is, from the top of its tree downwards.
const Folder* Places::folder_of(const std::string& path) const {
  const auto tree = std::find_if(trees_.begin(), trees_.end(),
                                 [&](const std::string& t) { return path_is_beneath(path, t); });
  if (tree == trees_.end()) return &tree_folder();
  std::string at = *tree;
  const std::string_view top = path_name(at);
  const Folder* folder =
      is_special(tree_folder(), top) ? find_folder(tree_folder(), top) : &tree_folder();
  std::string_view rest = path_relative(path, *tree);
  for (;;) {
    if (const Folder* led = indirect_.folder_at(at)) folder = led;
    if (folder->open && is_file(AT_FDCWD, at + "/HEAD")) {
      UniqueFd directory = open_directory(AT_FDCWD, at, RESOLVE_NO_SYMLINKS);
      if (directory.valid() && is_git_directory(directory.get())) folder = &git_folder();
    }
    if (rest.empty()) return folder;
    const std::size_t slash = rest.find('/');
    const std::string_view name = rest.substr(0, slash);
    rest = slash == rest.npos ? std::string_view() : rest.substr(slash + 1);
    folder = kind_in(*folder, name);
    at = path_join(at, name);
  }
}

const NameRule* Places::rule_of(const Place& place) const {
  if (place.name == ".") return nullptr;
  const NameRule* rule = find_name(*place.folder, place.name);
  // What git itself writes, too; what it must not say is undone afterwards.
  if (rule != nullptr && rule->what == What::strategy) rule = nullptr;
  if (rule == nullptr && !indirect_.empty()) rule = indirect_.rule_at(place.path());
  if (rule != nullptr && is_told(rule->what)) rule = nullptr;
  if (rule != nullptr || indirect_.globs.empty()) return rule;
  const std::string path = place.path();
  const bool held = std::any_of(indirect_.globs.begin(), indirect_.globs.end(),
                                [&](const Glob& glob) { return !glob.find_in(path).empty(); });
  return held ? &kHeld : nullptr;
}

bool Places::stands_for_folder(const Place& place) const {
  if (place.name == ".") return false;
  if (leads_beneath(place.path())) return true;
  return std::any_of(place.folder->folders.begin(), place.folder->folders.end(),
                     [&](const FolderRule& rule) {
                       return rule.name == "*" || is_same_name(rule.name, place.name);
                     });
}

const Folder* Places::kind_of(const Place& place) const {
  return kind_in(*place.folder, place.name);
}

bool Places::is_more_held(const std::string& from, const std::string& to) const {
  auto states_at = [](const Glob& glob, std::string_view path) {
    Glob::States states = glob.begin();
    while (!path.empty()) {
      const std::size_t slash = std::min(path.find('/'), path.size());
      if (slash != 0) states = glob.step(states, path.substr(0, slash));
      path.remove_prefix(std::min(slash + 1, path.size()));
    }
    return states;
  };
  return std::any_of(indirect_.globs.begin(), indirect_.globs.end(), [&](const Glob& glob) {
    return (states_at(glob, to) & ~states_at(glob, from)) != 0;
  });
}

bool Places::leads_beneath(const std::string& path) const { return indirect_.leads_beneath(path); }

}  // namespace dirbox::guard
