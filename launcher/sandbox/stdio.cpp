#include "launcher/sandbox/stdio.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <climits>

#include "launcher/sandbox/sys.h"

namespace dirbox::sandbox {
namespace {

std::string fd_operand(int fd) { return fmt::format("descriptor {}", fd); }

/// The file of `fd` on a read-only mount, open in the same mode at the same offset; invalid when
/// the file has no path any more, or one that this process cannot reach. Only a device can be
/// written so.
Result<UniqueFd> open_on_read_only_mount(int fd, const struct stat& st) {
  char path[PATH_MAX];
  std::string link = fmt::format("/proc/self/fd/{}", fd);
  ssize_t n = ::readlink(link.c_str(), path, sizeof path - 1);
  if (n < 0) return fail_errno("read the name of", fd_operand(fd));
  path[n] = '\0';
  UniqueFd source(
      sys::openat2(AT_FDCWD, path, O_PATH | O_CLOEXEC | O_NOFOLLOW, RESOLVE_NO_MAGICLINKS));
  struct stat found {};
  if (!source.valid() || ::fstat(source.get(), &found) != 0 || found.st_ino != st.st_ino ||
      found.st_dev != st.st_dev) {
    return UniqueFd();
  }
  UniqueFd tree(::open_tree(source.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  if (!tree.valid()) return fail_errno("clone the mount of", fd_operand(fd));
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
  if (!S_ISCHR(st.st_mode)) attr.attr_set |= MOUNT_ATTR_NODEV;
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0) {
    return fail_errno("set mount attributes of", fd_operand(fd));
  }
  std::string through = fmt::format("/proc/self/fd/{}", tree.get());
  int flags = ::fcntl(fd, F_GETFL);
  UniqueFd reopened(
      ::open(through.c_str(), O_CLOEXEC | O_NOCTTY | (flags & (O_ACCMODE | O_NONBLOCK))));
  // The caller may hold a file open that it could not open again (a shell with other rights did).
  if (!reopened.valid() && errno == EACCES) return UniqueFd();
  if (!reopened.valid()) return fail_errno("reopen", fd_operand(fd));
  if (!S_ISREG(st.st_mode)) return reopened;
  off_t offset = ::lseek(fd, 0, SEEK_CUR);
  if (offset < 0 || ::lseek(reopened.get(), offset, SEEK_SET) != offset) {
    return fail_errno("seek in", fd_operand(fd));
  }
  return reopened;
}

/// /dev/null and its kin, when the command owns them: root's could change their mode for the whole
/// host. Opening another device may do something.
bool is_own_memory_device(const struct stat& st) {
  constexpr unsigned kMemory = 1;  // admin-guide/devices.txt
  return S_ISCHR(st.st_mode) && major(st.st_rdev) == kMemory && st.st_uid == ::geteuid();
}

/// The device `rdev` by the name that it has here, in the mode of `flags`; invalid: it has none.
Result<UniqueFd> open_memory_device(dev_t rdev, int flags) {
  for (const char* path : {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}) {
    struct stat here {};
    if (::stat(path, &here) != 0 || !S_ISCHR(here.st_mode) || here.st_rdev != rdev) continue;
    UniqueFd opened(::open(path, O_CLOEXEC | (flags & (O_ACCMODE | O_NONBLOCK))));
    if (!opened.valid()) return fail_errno("open", path);
    return opened;
  }
  return UniqueFd();
}

/// Puts what open_on_read_only_mount() finds in the place of `fd`. False when it finds nothing.
Result<bool> replace_by_read_only(int fd, const struct stat& st) {
  UniqueFd reopened = TRY(open_on_read_only_mount(fd, st));
  if (!reopened.valid()) return false;
  if (::dup2(reopened.get(), fd) < 0) return fail_errno("duplicate", fd_operand(fd));
  return true;
}

/// The same for a device, which may have been opened outside of a chroot, or be gone by its name:
/// then the one that is here takes its place.
Result<void> replace_device(int fd, const struct stat& st) {
  if (TRY(replace_by_read_only(fd, st))) return {};
  UniqueFd opened = TRY(open_memory_device(st.st_rdev, ::fcntl(fd, F_GETFL)));
  struct stat here {};
  if (opened.valid() && (::dup2(opened.get(), fd) < 0 || ::fstat(fd, &here) != 0))
    return fail_errno("duplicate", fd_operand(fd));
  if (opened.valid() && (!is_own_memory_device(here) || TRY(replace_by_read_only(fd, here))))
    return {};
  return fail("pass", fd_operand(fd), "a device of the host, whose mode root inside could change",
              "< /dev/null");
}

Result<void> put_null(int fd) {
  int null = ::open("/dev/null", O_RDWR);
  if (null < 0) return fail_errno("open", "/dev/null");
  if (null != fd) {
    if (::dup2(null, fd) < 0) return fail_errno("duplicate", fd_operand(fd));
    ::close(null);
  }
  return {};
}

Result<void> check_kind(int fd, const struct stat& st, int flags) {
  constexpr std::string_view kHint =
      "redirect it from or to a file, a pipe, a socket or a terminal";
  if ((flags & O_PATH) != 0) return fail("pass", fd_operand(fd), "open with O_PATH", kHint);
  if (S_ISDIR(st.st_mode)) {
    return fail("pass", fd_operand(fd), "a directory, through which other files can be opened",
                kHint);
  }
  if (S_ISBLK(st.st_mode)) return fail("pass", fd_operand(fd), "a block device", kHint);
  return {};
}

}  // namespace

Result<void> check_passed(int fd, bool landlock, bool guarded) {
  struct stat st {};
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fstat(fd, &st) != 0) return fail_errno("stat", fd_operand(fd));
  TRY_VOID(check_kind(fd, st, flags));
  if (S_ISREG(st.st_mode) && !landlock) {
    return fail("pass", "a file", "without Landlock nothing stops a reopening with more rights",
                "put a pipe in between: | cat > file");
  }
  if (S_ISREG(st.st_mode) && guarded && (flags & O_ACCMODE) == O_RDONLY) {
    return fail("pass a file to read", fd_operand(fd),
                "where guarded names are enforced it could be reopened for writing",
                "put a pipe in between: cat file |");
  }
  return {};
}

Result<void> replace_by_own_device(UniqueFd& fd) {
  struct stat st {};
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fstat(fd.get(), &st) != 0) return fail_errno("stat", fd_operand(fd.get()));
  if (!is_own_memory_device(st)) return {};
  UniqueFd opened = TRY(open_memory_device(st.st_rdev, flags));
  if (opened.valid()) {
    fd = std::move(opened);
    return {};
  }
  return fail("pass", fd_operand(fd.get()), "a device that gives away memory of the host");
}

Result<std::vector<LandlockFile>> apply_stdio(const StdioKind (&kinds)[3], bool landlock) {
  std::vector<LandlockFile> files;
  for (int fd = 0; fd < 3; ++fd) {
    if (kinds[fd] != StdioKind::pass) continue;
    struct stat st {};
    if (::fstat(fd, &st) != 0) {
      if (errno != EBADF) return fail_errno("stat", fd_operand(fd));
      TRY_VOID(put_null(fd));
      if (::fstat(fd, &st) != 0) return fail_errno("stat", "/dev/null");
    }
    int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0) return fail_errno("read the flags of", fd_operand(fd));
    TRY_VOID(check_kind(fd, st, flags));
    if (is_own_memory_device(st)) TRY_VOID(replace_device(fd, st));
    if (!S_ISREG(st.st_mode)) continue;
    int mode = flags & O_ACCMODE;
    if (mode == O_RDONLY && TRY(replace_by_read_only(fd, st))) {
      files.push_back({fd, true, false});
      continue;
    }
    if (!landlock && mode != O_RDWR) {
      return fail("pass", fd_operand(fd),
                  "without Landlock nothing stops a reopening of this file with more rights",
                  "put a pipe in between: | cat > file");
    }
    // An append-only descriptor gets no rule: reopened, it could overwrite.
    bool append = (flags & O_APPEND) != 0;
    files.push_back({fd, mode != O_WRONLY, mode != O_RDONLY && !append});
  }
  return files;
}

}  // namespace dirbox::sandbox
