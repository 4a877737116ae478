#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "tests/support/probe/probe.h"

namespace probe {
namespace {

/// Opens, runs `use` on the descriptor, closes.
template <class Use>
Outcome with_file(const std::string& path, int flags, Use use) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (fd < 0) return {errno, "open"};
  Outcome outcome = use(fd);
  close(fd);
  return outcome;
}

Outcome read_from(int fd) {
  char buffer[4096];
  const ssize_t n = read(fd, buffer, sizeof buffer);
  if (n < 0) return {errno, "read"};
  std::string text(buffer, static_cast<size_t>(n));
  for (char& c : text)
    if (c == '\n' || c == '\0') c = '|';
  return {0, text};
}

Outcome verb_read(const Arguments& a) { return with_file(a[0], O_RDONLY, read_from); }

Outcome list_directory(const char* path) {
  DIR* dir = opendir(path);
  if (dir == nullptr) return {errno, {}};
  std::string names;
  while (const dirent* entry = readdir(dir)) {
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    names += (names.empty() ? "" : " ") + std::string(entry->d_name);
  }
  closedir(dir);
  return {0, names};
}

Outcome verb_list(const Arguments& a) { return list_directory(a[0].c_str()); }

Outcome verb_stat(const Arguments& a) {
  struct stat st {};
  if (lstat(a[0].c_str(), &st) < 0) return {errno, {}};
  return {0, "mode=" + std::to_string(st.st_mode) + " size=" + std::to_string(st.st_size) +
                 " uid=" + std::to_string(st.st_uid)};
}

Outcome write_text(int fd) { return from_call(write(fd, "probe\n", 6)); }

Outcome verb_write(const Arguments& a) { return with_file(a[0], O_WRONLY | O_TRUNC, write_text); }
Outcome verb_append(const Arguments& a) { return with_file(a[0], O_WRONLY | O_APPEND, write_text); }
Outcome verb_create(const Arguments& a) {
  return with_file(a[0], O_WRONLY | O_CREAT | O_EXCL, write_text);
}

Outcome verb_mmap_write(const Arguments& a) {
  return with_file(a[0], O_RDWR, [](int fd) -> Outcome {
    void* at = mmap(nullptr, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return {errno, "mmap"};
    std::memcpy(at, "probe\n", 6);
    return from_call(munmap(at, 6));
  });
}

Outcome verb_mkdir(const Arguments& a) { return from_call(mkdir(a[0].c_str(), 0755)); }
Outcome verb_rmdir(const Arguments& a) { return from_call(rmdir(a[0].c_str())); }
Outcome verb_unlink(const Arguments& a) { return from_call(unlink(a[0].c_str())); }
Outcome verb_rename(const Arguments& a) { return from_call(rename(a[0].c_str(), a[1].c_str())); }
Outcome verb_link(const Arguments& a) { return from_call(link(a[0].c_str(), a[1].c_str())); }
Outcome verb_symlink(const Arguments& a) { return from_call(symlink(a[0].c_str(), a[1].c_str())); }
Outcome verb_chmod(const Arguments& a) {
  return from_call(chmod(a[1].c_str(), static_cast<mode_t>(std::stoul(a[0], nullptr, 8))));
}
Outcome verb_utime(const Arguments& a) {
  return from_call(utimensat(AT_FDCWD, a[0].c_str(), nullptr, 0));
}
Outcome verb_truncate(const Arguments& a) { return from_call(truncate(a[0].c_str(), 0)); }
Outcome verb_setxattr(const Arguments& a) {
  return from_call(setxattr(a[0].c_str(), "user.probe", "1", 1, 0));
}
Outcome verb_chown(const Arguments& a) {
  return from_call(chown(a[0].c_str(), getuid(), getgid()));
}

Outcome verb_exchange(const Arguments& a) {
  return from_call(renameat2(AT_FDCWD, a[0].c_str(), AT_FDCWD, a[1].c_str(), RENAME_EXCHANGE));
}

Outcome verb_mknod(const Arguments& a) {
  const mode_t type = a[0] == "char" ? S_IFCHR : a[0] == "block" ? S_IFBLK : S_IFIFO;
  return from_call(mknod(a[1].c_str(), type | 0600, makedev(1, 3)));
}

Outcome verb_chroot(const Arguments& a) { return from_call(chroot(a[0].c_str())); }

/// What is at a descriptor number: read it, or list it when it is a directory.
Outcome verb_read_fd(const Arguments& a) {
  const int fd = static_cast<int>(number(a[0]));
  struct stat st {};
  if (fstat(fd, &st) < 0) return {errno, {}};
  if (S_ISDIR(st.st_mode)) return list_directory(("/proc/self/fd/" + a[0]).c_str());
  return read_from(fd);
}

Outcome verb_write_fd(const Arguments& a) { return write_text(static_cast<int>(number(a[0]))); }
Outcome verb_truncate_fd(const Arguments& a) {
  return from_call(ftruncate(static_cast<int>(number(a[0])), 0));
}
Outcome verb_chmod_fd(const Arguments& a) {
  return from_call(fchmod(static_cast<int>(number(a[0])), 0777));
}

/// Opens /proc/self/fd/N again with more rights than the descriptor has, and uses them.
Outcome verb_reopen_write(const Arguments& a) {
  return with_file("/proc/self/fd/" + a[0], O_RDWR | O_APPEND, write_text);
}
Outcome verb_reopen_read(const Arguments& a) {
  return with_file("/proc/self/fd/" + a[0], O_RDONLY, read_from);
}
Outcome verb_walk_fd(const Arguments& a) {
  return with_file("/proc/self/fd/" + a[0] + "/" + a[1], O_RDONLY, read_from);
}

Outcome verb_name_to_handle(const Arguments& a) {
  union {
    file_handle handle;
    char room[sizeof(file_handle) + MAX_HANDLE_SZ];
  } buffer{};
  buffer.handle.handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  return from_call(name_to_handle_at(AT_FDCWD, a[0].c_str(), &buffer.handle, &mount, 0));
}

/// The Shocker exploit: opens inode 2, the root of most filesystems, by a forged handle.
Outcome verb_open_by_handle(const Arguments& a) {
  union {
    file_handle handle;
    char room[sizeof(file_handle) + 8];
  } buffer{};
  buffer.handle.handle_bytes = 8;
  buffer.handle.handle_type = 1;
  buffer.room[sizeof(file_handle)] = 2;
  return with_file(a[0], O_RDONLY | O_DIRECTORY, [&](int mount) {
    const int fd = open_by_handle_at(mount, &buffer.handle, O_RDONLY | O_CLOEXEC);
    return from_call(fd);
  });
}

}  // namespace

const std::vector<Verb> kFileVerbs = {
    {"read", "PATH", verb_read},
    {"list", "PATH", verb_list},
    {"stat", "PATH", verb_stat},
    {"write", "PATH", verb_write},
    {"append", "PATH", verb_append},
    {"create", "PATH", verb_create},
    {"mmap-write", "PATH", verb_mmap_write},
    {"mkdir", "PATH", verb_mkdir},
    {"rmdir", "PATH", verb_rmdir},
    {"unlink", "PATH", verb_unlink},
    {"rename", "FROM TO", verb_rename},
    {"exchange", "ONE OTHER", verb_exchange},
    {"link", "FROM TO", verb_link},
    {"symlink", "TARGET NAME", verb_symlink},
    {"chmod", "OCTAL PATH", verb_chmod},
    {"chown", "PATH", verb_chown},
    {"utime", "PATH", verb_utime},
    {"truncate", "PATH", verb_truncate},
    {"setxattr", "PATH", verb_setxattr},
    {"mknod", "char|block|fifo PATH", verb_mknod},
    {"chroot", "PATH", verb_chroot},
    {"read-fd", "FD", verb_read_fd},
    {"write-fd", "FD", verb_write_fd},
    {"truncate-fd", "FD", verb_truncate_fd},
    {"chmod-fd", "FD", verb_chmod_fd},
    {"reopen-write", "FD", verb_reopen_write},
    {"reopen-read", "FD", verb_reopen_read},
    {"walk-fd", "FD RELATIVE", verb_walk_fd},
    {"name-to-handle", "PATH", verb_name_to_handle},
    {"open-by-handle", "PATH", verb_open_by_handle},
};

}  // namespace probe
