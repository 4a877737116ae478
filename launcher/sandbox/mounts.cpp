#include "launcher/sandbox/mounts.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/sandbox/sys.h"

namespace dirbox::sandbox {
namespace {

constexpr std::uint64_t kNoSymlinks = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
constexpr std::string_view kSwapHint =
    "the path changed while the sandbox was being built; run it again, and look for a process that "
    "swaps it";

/// Of the 3072 that the kernel has for every devpts but the host's own (kernel.pty.max and
/// kernel.pty.reserve): other sandboxes need some too.
constexpr const char* kMostTerminals = "256";

const char* relative(const std::string& absolute) {
  return absolute.size() > 1 ? absolute.c_str() + 1 : ".";
}

struct Option {
  const char* key;
  std::string value;
};

/// A new file system instance as a detached mount.
Result<UniqueFd> make_filesystem(const char* type, const std::vector<Option>& options,
                                 unsigned attributes) {
  UniqueFd context(::fsopen(type, FSOPEN_CLOEXEC));
  if (!context.valid()) return fail_errno("open a file system context", type);
  for (const Option& option : options) {
    if (::fsconfig(context.get(), FSCONFIG_SET_STRING, option.key, option.value.c_str(), 0) != 0) {
      return fail_errno("configure a file system",
                        fmt::format("{} {}={}", type, option.key, option.value));
    }
  }
  // Which of the two refuses a /proc that would show too much depends on the kernel.
  const std::string_view hint = std::string_view(type) == "proc"
                                    ? "a fresh /proc needs an unmasked /proc around it; in a "
                                      "container, run with --security-opt systempaths=unconfined"
                                    : "";
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return fail_errno("create a file system", type, errno, hint);
  UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes));
  if (!mount.valid()) return fail_errno("mount a file system", type, errno, hint);
  return mount;
}

/// Makes `path` as a directory beneath `root`, with its parents. The tmpfs tree holds only what
/// this process made, so names in it can be trusted.
Result<void> make_directory(int root, const std::string& path, unsigned mode) {
  if (path == "/" || ::mkdirat(root, relative(path), mode) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT) return fail_errno("make a directory", path);
  TRY_VOID(make_directory(root, path_parent(path), 0755));
  if (::mkdirat(root, relative(path), mode) != 0 && errno != EEXIST) {
    return fail_errno("make a directory", path);
  }
  return {};
}

/// Makes the file `path` beneath `root`, with its parents.
Result<UniqueFd> make_file(int root, const std::string& path, unsigned mode) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  UniqueFd file(::openat(root, relative(path), kFlags, mode));
  if (!file.valid() && errno == ENOENT) {
    TRY_VOID(make_directory(root, path_parent(path), 0755));
    file.reset(::openat(root, relative(path), kFlags, mode));
  }
  if (!file.valid()) return fail_errno("make a file", path);
  return file;
}

/// Where the tree is built: its root, and the devices of the tmpfs that were made for it.
struct Tree {
  int root;
  const ShimImage& shim;
  const SyncedContent& synced;
  std::vector<dev_t> own{};

  Result<void> add(int tmpfs) {
    struct stat st {};
    if (::fstat(tmpfs, &st) != 0) return fail_errno("stat a file system", "tmpfs");
    own.push_back(st.st_dev);
    return {};
  }
};

/// The directory `path` of a tmpfs of the sandbox, to which a bound tree leads; made when missing.
Result<UniqueFd> open_own(const Tree& tree, const std::string& path) {
  constexpr int kFlags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  UniqueFd fd(sys::openat2(tree.root, relative(path), kFlags, kNoSymlinks | RESOLVE_IN_ROOT));
  if (!fd.valid() && errno == ENOENT && path != "/") {
    UniqueFd parent = TRY(open_own(tree, path_parent(path)));
    const std::string name(path_name(path));
    if (::mkdirat(parent.get(), name.c_str(), 0755) != 0)
      return fail_errno("make a directory", path);
    fd.reset(sys::openat2(parent.get(), name.c_str(), kFlags, kNoSymlinks | RESOLVE_BENEATH));
  }
  if (!fd.valid()) return fail_errno("open a directory of the sandbox", path, errno, kSwapHint);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("stat a directory of the sandbox", path);
  if (std::find(tree.own.begin(), tree.own.end(), st.st_dev) == tree.own.end()) {
    return fail("open a directory of the sandbox", path, "it is one of the host's", kSwapHint);
  }
  return fd;
}

/// The place of `mount`, relative to `dir`: the root, or a directory that open_own() found.
struct Place {
  UniqueFd opened;
  int dir;
  std::string path;  ///< absolute, in terms of `dir`
};
Result<Place> find_place(const Tree& tree, const Mount& mount) {
  if (!mount.beneath_bind) return Place{UniqueFd(), tree.root, mount.target};
  UniqueFd parent = TRY(open_own(tree, path_parent(mount.target)));
  const int dir = parent.get();
  return Place{std::move(parent), dir, "/" + std::string(path_name(mount.target))};
}

/// Whoever swaps what lies at a path gets no mount elsewhere, and no path without its mount.
Result<void> check_id(int fd, const FileId& id, const std::string& path) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return fail_errno("stat a granted path", path);
  if (FileId{st.st_dev, st.st_ino} == id) return {};
  return fail("mount a granted path", path, "another file than when the plan was made", kSwapHint);
}

/// In the tmpfs the place to mount on is made. A bound tree is never written to, and may be
/// hostile: its place is opened without following anything.
Result<void> attach(const Tree& in, int tree, const Mount& mount) {
  if (mount.in_root) {
    Place place = TRY(find_place(in, mount));
    if (mount.is_directory) {
      TRY_VOID(make_directory(place.dir, place.path, 0755));
    } else {
      TRY_VOID(make_file(place.dir, place.path, 0444));
    }
    if (::move_mount(tree, "", place.dir, relative(place.path), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
      return fail_errno("attach a mount", mount.target);
    }
    return {};
  }
  UniqueFd target(sys::openat2(in.root, relative(mount.target), O_PATH | O_CLOEXEC | O_NOFOLLOW,
                               kNoSymlinks | RESOLVE_IN_ROOT));
  if (!target.valid()) {
    return fail_errno("open a mount point", mount.target, errno, errno == ELOOP ? kSwapHint : "");
  }
  if (mount.id != FileId{}) TRY_VOID(check_id(target.get(), mount.id, mount.target));
  if (::move_mount(tree, "", target.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) !=
      0) {
    return fail_errno("attach a mount", mount.target);
  }
  return {};
}

/// The file that the plan saw at `mount.source`, and no other.
Result<UniqueFd> open_source(const Mount& mount, int flags) {
  UniqueFd source(
      sys::openat2(AT_FDCWD, mount.source.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, kNoSymlinks));
  if (!source.valid()) {
    return fail_errno("open a granted path", mount.source, errno, errno == ELOOP ? kSwapHint : "");
  }
  TRY_VOID(check_id(source.get(), mount.id, mount.source));
  return source;
}

Result<void> apply_copy(const Tree& in, const Mount& mount) {
  constexpr std::size_t kMaxBytes = 16 << 20;  // no state file is near it
  UniqueFd source = TRY(open_source(mount, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  std::string text = TRY(read_fd(source.get(), kMaxBytes, mount.source));
  Place place = TRY(find_place(in, mount));
  UniqueFd file = TRY(make_file(place.dir, place.path, mount.mode));
  return write_all(file.get(), text, mount.target);
}

Result<void> apply_synced(const Tree& in, const Mount& mount) {
  const std::string* text = in.synced ? in.synced(mount.target) : nullptr;
  if (text == nullptr) return {};
  Place place = TRY(find_place(in, mount));
  UniqueFd file = TRY(make_file(place.dir, place.path, mount.mode));
  return write_all(file.get(), *text, mount.target);
}

Result<void> apply_bind(const Tree& in, const Mount& mount) {
  UniqueFd source = TRY(open_source(mount, O_PATH));
  UniqueFd tree(::open_tree(source.get(), "",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
  if (!tree.valid()) return fail_errno("clone a mount", mount.source);
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_NOSUID;
  if (!mount.devices) attr.attr_set |= MOUNT_ATTR_NODEV;
  // A device is written to all the same; its owner, root's command, must not change its mode.
  if (!mount.writable || mount.devices) attr.attr_set |= MOUNT_ATTR_RDONLY;
  attr.propagation = MS_PRIVATE;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) != 0) {
    return fail_errno("set mount attributes", mount.source);
  }
  return attach(in, tree.get(), mount);
}

Result<void> apply_tmpfs(Tree& in, const Mount& mount) {
  UniqueFd tree = TRY(make_filesystem(
      "tmpfs", {{"size", std::to_string(mount.size)}, {"mode", fmt::format("{:o}", mount.mode)}},
      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  TRY_VOID(in.add(tree.get()));
  return attach(in, tree.get(), mount);
}

/// Covers a directory or a file with an empty one that nobody may read. The cover is made in the
/// root, cloned, attached and unlinked: it has no name of its own.
Result<void> apply_mask(const Tree& in, const Mount& mount) {
  constexpr const char* kCover = ".cover";
  if (mount.is_directory) {
    if (::mkdirat(in.root, kCover, 0) != 0) return fail_errno("make a cover", mount.target);
  } else {
    UniqueFd file(::openat(in.root, kCover, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0));
    if (!file.valid()) return fail_errno("make a cover", mount.target);
  }
  UniqueFd tree(::open_tree(in.root, kCover, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) return fail_errno("clone a cover", mount.target);
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) {
    return fail_errno("set mount attributes", mount.target);
  }
  TRY_VOID(attach(in, tree.get(), mount));
  if (::unlinkat(in.root, kCover, mount.is_directory ? AT_REMOVEDIR : 0) != 0) {
    return fail_errno("unlink a cover", mount.target);
  }
  return {};
}

/// A read-only view of what is at the target, over itself.
Result<void> apply_read_only(const Tree& in, const Mount& mount) {
  UniqueFd tree(::open_tree(in.root, relative(mount.target),
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW));
  if (!tree.valid()) return fail_errno("clone a mount", mount.target);
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) {
    return fail_errno("set mount attributes", mount.target);
  }
  return attach(in, tree.get(), mount);
}

Result<void> apply_plain(const Tree& in, const Mount& mount) {
  const Place place = TRY(find_place(in, mount));
  if (mount.kind == MountKind::directory) return make_directory(place.dir, place.path, mount.mode);
  if (mount.kind == MountKind::file) {
    UniqueFd file = TRY(make_file(place.dir, place.path, mount.mode));
    return write_all(file.get(), mount.source, mount.target);
  }
  const char* name = relative(place.path);
  if (::symlinkat(mount.source.c_str(), place.dir, name) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT) return fail_errno("make a symlink", mount.target);
  TRY_VOID(make_directory(place.dir, path_parent(place.path), 0755));
  if (::symlinkat(mount.source.c_str(), place.dir, name) != 0) {
    return fail_errno("make a symlink", mount.target);
  }
  return {};
}

/// The first of a command is a file of the root; the others are that one again, by a mount.
Result<void> apply_shim(const Tree& in, const Mount& mount) {
  const std::string made = "/.dirbox/bin/" + mount.source;
  if (mount.in_root) {
    if (!in.shim) return fail("make a shim", mount.target, "nobody serves it");
    UniqueFd file = TRY(make_file(in.root, mount.target, mount.mode));
    return write_all(file.get(), TRY(in.shim(mount.source)), mount.target);
  }
  UniqueFd tree(::open_tree(in.root, relative(made), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) return fail_errno("clone a shim", mount.target);
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) {
    return fail_errno("set mount attributes", mount.target);
  }
  return attach(in, tree.get(), mount);
}

Result<void> apply_mount(Tree& in, const Mount& mount) {
  switch (mount.kind) {
    case MountKind::bind:
      return apply_bind(in, mount);
    case MountKind::copy:
      return apply_copy(in, mount);
    case MountKind::tmpfs:
      return apply_tmpfs(in, mount);
    case MountKind::mask:
      return apply_mask(in, mount);
    case MountKind::read_only:
      return apply_read_only(in, mount);
    case MountKind::shim:
      return apply_shim(in, mount);
    case MountKind::synced:
      return apply_synced(in, mount);
    case MountKind::proc: {
      UniqueFd tree = TRY(
          make_filesystem("proc", {}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
      return attach(in, tree.get(), mount);
    }
    case MountKind::devpts: {
      UniqueFd tree = TRY(make_filesystem(
          "devpts", {{"ptmxmode", "0666"}, {"mode", "0620"}, {"max", kMostTerminals}},
          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
      return attach(in, tree.get(), mount);
    }
    case MountKind::symlink:
    case MountKind::directory:
    case MountKind::file:
      return apply_plain(in, mount);
  }
  return {};
}

}  // namespace

Result<UniqueFd> make_root(std::uint64_t size) {
  UniqueFd root = TRY(make_filesystem("tmpfs", {{"size", std::to_string(size)}, {"mode", "0755"}},
                                      MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV));
  if (::move_mount(root.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return fail_errno("attach the root of the sandbox", "/");
  }
  return root;
}

Result<void> apply_mounts(int root, const std::vector<Mount>& mounts, const ShimImage& shim,
                          const SyncedContent& synced) {
  Tree in{root, shim, synced};
  TRY_VOID(in.add(root));
  const mode_t mask = ::umask(0);  // modes are as the Plan has them
  for (const Mount& mount : mounts) TRY_VOID(apply_mount(in, mount));
  ::umask(mask);
  return {};
}

Result<void> enter_root(int root) {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(root, "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) {
    return fail_errno("make the root read-only", "/");
  }
  if (::fchdir(root) != 0) return fail_errno("enter the root", "/");
  // pivot_root(2), NOTES: with both arguments ".", the old root ends up stacked on the new one.
  if (sys::pivot_root(".", ".") != 0) {
    return fail_errno("pivot_root", "/", errno,
                      errno == EINVAL ? "the root file system must not be an initramfs" : "");
  }
  if (::umount2(".", MNT_DETACH) != 0) return fail_errno("detach the host's file tree", "/");
  if (::chdir("/") != 0) return fail_errno("enter the root", "/");
  return {};
}

}  // namespace dirbox::sandbox
