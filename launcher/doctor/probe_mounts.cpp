#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "launcher/base/unique_fd.h"
#include "launcher/doctor/probes.h"
#include "launcher/sandbox/sys.h"

namespace dirbox::doctor {
namespace {

namespace sys = sandbox::sys;

struct Option {
  const char* key;
  const char* value;  ///< nullptr: a flag
};

/// A detached mount of a new file system in `mount`; the Outcome of what failed otherwise.
Outcome make_filesystem(const char* type, std::initializer_list<Option> options, UniqueFd& mount,
                        unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) {
  UniqueFd context(::fsopen(type, FSOPEN_CLOEXEC));
  if (!context.valid()) return refused("fsopen", type);
  for (const Option& option : options) {
    const auto command = option.value == nullptr ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
    if (::fsconfig(context.get(), command, option.key, option.value, 0) != 0)
      return refused("fsconfig", std::string(type) + " " + option.key);
  }
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return refused("fsconfig", type);
  mount.reset(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes));
  return mount.valid() ? passed() : refused("fsmount", type);
}

Outcome make_tmpfs(UniqueFd& mount) {
  return make_filesystem("tmpfs", {{"size", "1048576"}, {"mode", "0755"}}, mount);
}

Outcome set_attributes(int mount, std::uint64_t set) {
  mount_attr attr{};
  attr.attr_set = set;
  attr.propagation = MS_PRIVATE;
  if (::mount_setattr(mount, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) != 0)
    return refused("mount_setattr", "/");
  return passed();
}

Outcome clone_root(UniqueFd& tree) {
  tree.reset(::open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
  return tree.valid() ? passed() : refused("open_tree", "/");
}

bool failed(const Outcome& outcome) { return outcome.state != State::ok; }

/// A tmpfs over "/", as the launcher's make_root() does.
Outcome attach_root(UniqueFd& root) {
  if (Outcome made = make_tmpfs(root); failed(made)) return made;
  if (::move_mount(root.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return refused("move_mount", "/");
  return passed();
}

}  // namespace

Outcome probe_tmpfs(const HostState&) {
  UniqueFd mount;
  return make_tmpfs(mount);
}

Outcome probe_open_tree(const HostState&) {
  UniqueFd tree;
  return clone_root(tree);
}

Outcome probe_mount_setattr(const HostState&) {
  UniqueFd tree;
  if (Outcome made = clone_root(tree); failed(made)) return made;
  return set_attributes(tree.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

Outcome probe_move_mount(const HostState&) {
  UniqueFd root, tree;
  if (Outcome made = attach_root(root); failed(made)) return made;
  if (Outcome made = clone_root(tree); failed(made)) return made;
  if (::mkdirat(root.get(), "bind", 0755) != 0) return refused("mkdirat", "in a new tmpfs");
  if (::move_mount(tree.get(), "", root.get(), "bind", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return refused("move_mount", "a clone of /");
  return passed();
}

Outcome probe_openat2(const HostState&) {
  UniqueFd fd(
      sys::openat2(AT_FDCWD, "/", O_PATH | O_CLOEXEC, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
  return fd.valid() ? passed() : refused("openat2", "/");
}

Outcome probe_proc_mount(const HostState&) {
  UniqueFd mount;
  return make_filesystem("proc", {}, mount);
}

Outcome probe_pty(const HostState&) {
  UniqueFd mount;
  Outcome made = make_filesystem("devpts", {{"ptmxmode", "0666"}, {"mode", "0620"}}, mount,
                                 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  if (failed(made)) return made;
  UniqueFd master(::openat(mount.get(), "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master.valid()) return refused("openat", "ptmx of a new devpts");
  int unlock = 0;
  if (::ioctl(master.get(), TIOCSPTLCK, &unlock) != 0) return refused("ioctl", "TIOCSPTLCK");
  UniqueFd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave.valid()) return refused("ioctl", "TIOCGPTPEER");
  return passed();
}

Outcome probe_pivot_root(const HostState&) {
  UniqueFd root;
  if (Outcome made = attach_root(root); failed(made)) return made;
  if (::fchdir(root.get()) != 0) return refused("fchdir", "a new tmpfs");
  if (sys::pivot_root(".", ".") != 0) return refused("pivot_root", "/");
  if (::umount2(".", MNT_DETACH) != 0) return refused("umount2", "the old root");
  return passed();
}

Outcome probe_overlay(const HostState&) {
  UniqueFd root, overlay;
  if (Outcome made = attach_root(root); failed(made)) return made;
  if (::fchdir(root.get()) != 0) return refused("fchdir", "a new tmpfs");
  for (const char* name : {"lower", "upper", "work"}) {
    if (::mkdir(name, 0755) != 0) return refused("mkdir", name);
  }
  if (Outcome made = make_filesystem("overlay",
                                     {{"lowerdir", "lower"},
                                      {"upperdir", "upper"},
                                      {"workdir", "work"},
                                      {"userxattr", nullptr}},
                                     overlay);
      failed(made)) {
    return made;
  }
  UniqueFd file(::openat(overlay.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  return file.valid() ? passed() : refused("openat", "a file in an overlay");
}

}  // namespace dirbox::doctor
