#include "launcher/sync/host_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <thread>

#include "launcher/base/file.h"
#include "launcher/base/path.h"

namespace dirbox::sync {
namespace {

constexpr const char* kDoing = "bring a file back to the host";
constexpr std::chrono::milliseconds kPause{3};  // between two tries for a lock

Result<UniqueFd> open_directory(const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  if (!fd.valid()) return fail_errno(kDoing, path);
  return fd;
}

struct Found {
  Text text;
  unsigned mode = 0600;
  uid_t user = ::geteuid();
  gid_t group = ::getegid();
};

Result<Found> read_at(int directory, const std::string& name, const std::string& path) {
  UniqueFd fd(
      ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return Found{};
  if (!fd.valid()) return fail_errno("read", path);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("stat", path);
  if (!S_ISREG(st.st_mode)) return fail("read", path, "not a regular file");
  Found found;
  found.mode = st.st_mode & 0777;
  found.user = st.st_uid;
  found.group = st.st_gid;
  found.text = TRY(read_fd(fd.get(), kMaxHostBytes, path));
  return found;
}

/// Both locks, as far as they could be had.
class Locks {
 public:
  Locks(int directory, const std::string& name) : directory_(directory), lock_(name + ".lock") {}
  ~Locks() {
    // It fails where somebody took it for left over, which needs kStale.
    if (made_) ::unlinkat(directory_, lock_.c_str(), AT_REMOVEDIR);
    if (locked_) ::flock(directory_, LOCK_UN);
  }
  Locks(const Locks&) = delete;
  Locks& operator=(const Locks&) = delete;

  bool take(HostFile::Clock::time_point deadline) {
    for (;;) {
      locked_ = locked_ || ::flock(directory_, LOCK_EX | LOCK_NB) == 0;
      if (locked_ && make()) return true;
      if (HostFile::Clock::now() >= deadline) return false;
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  bool make() {
    made_ = ::mkdirat(directory_, lock_.c_str(), 0700) == 0;
    // Where nothing can be made, the file cannot be replaced either, and that is reported.
    if (made_ || errno != EEXIST) return true;
    struct stat st {};
    if (::fstatat(directory_, lock_.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_mtime + HostFile::kStale.count() < ::time(nullptr) &&
        ::unlinkat(directory_, lock_.c_str(), AT_REMOVEDIR) == 0) {
      made_ = ::mkdirat(directory_, lock_.c_str(), 0700) == 0;
    }
    return made_;
  }

  int directory_;
  std::string lock_;
  bool locked_ = false, made_ = false;
};

/// A file beside another, which goes away with this.
class Beside {
 public:
  Beside(int directory, std::string name) : directory_(directory), name_(std::move(name)) {}
  ~Beside() { ::unlinkat(directory_, name_.c_str(), 0); }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  const std::string& name() const { return name_; }

  Result<void> write(const std::string& text, const Found& as) {
    ::unlinkat(directory_, name_.c_str(), 0);
    UniqueFd fd(::openat(directory_, name_.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd.valid()) return fail_errno(kDoing, name_);
    TRY_VOID(write_all(fd.get(), text, name_));
    // Root keeps the file of the user whose home it is.
    if (::geteuid() == 0 && ::fchown(fd.get(), as.user, as.group) != 0)
      return fail_errno(kDoing, name_);
    if (::fchmod(fd.get(), as.mode) != 0) return fail_errno(kDoing, name_);
    // Before it takes the place of one that is whole, also when the power fails.
    if (::fdatasync(fd.get()) != 0) return fail_errno(kDoing, name_);
    return {};
  }

 private:
  int directory_;
  std::string name_;
};

/// Puts `fresh` in the place of `name`, and what was there in the place of `fresh`. Returns what
/// was there.
Result<Found> exchange(int directory, const std::string& fresh, const std::string& name,
                       const Text& expected, const std::string& path) {
  auto rename_with = [&](unsigned flags) {
    return ::renameat2(directory, fresh.c_str(), directory, name.c_str(), flags) == 0;
  };
  for (int tries = 0; tries < HostFile::kMaxExchanges; ++tries) {
    if (rename_with(RENAME_EXCHANGE)) {
      auto out = read_at(directory, fresh, path);
      if (!out && !rename_with(RENAME_EXCHANGE)) return fail_errno(kDoing, path);
      return out;
    }
    if (errno == ENOENT && rename_with(RENAME_NOREPLACE)) return Found{};
    if (errno == EEXIST) continue;  // made meanwhile
    if (errno != EINVAL && errno != ENOSYS) return fail_errno(kDoing, path);
    // A file system that exchanges nothing: what is written from here to the rename is lost.
    Found out = TRY(read_at(directory, name, path));
    if (out.text != expected) return out;
    if (::renameat(directory, fresh.c_str(), directory, name.c_str()) != 0)
      return fail_errno(kDoing, path);
    return out;
  }
  return fail(kDoing, path, "somebody makes and removes it all the time");
}

}  // namespace

Result<Text> HostFile::read() const {
  Found found = TRY(read_at(AT_FDCWD, path_, path_));
  return std::move(found.text);
}

Result<bool> HostFile::update(const Text& base, const std::string& ours, const Combine& combine,
                              Clock::time_point deadline, bool must) const {
  UniqueFd directory = TRY(open_directory(path_parent(path_)));
  const std::string name(path_name(path_));
  Locks locks(directory.get(), name);
  if (!locks.take(deadline) && !must) return false;
  Found there = TRY(read_at(directory.get(), name, path_));
  Text expected = there.text;
  std::string next = TRY(combine(base, expected, ours));
  Beside fresh(directory.get(), fmt::format(".{}.dirbox-{}-{:x}", name, ::getpid(),
                                            Clock::now().time_since_epoch().count()));
  for (int tries = 0; tries < kMaxExchanges; ++tries) {
    if (expected == next) return true;
    TRY_VOID(fresh.write(next, there));
    Found was = TRY(exchange(directory.get(), fresh.name(), name, expected, path_));
    if (was.text == expected) return true;
    // Written by somebody without the lock, from `expected`: both sides' changes belong in it.
    std::string both = TRY(combine(expected, was.text, next));
    expected = std::move(next);
    next = std::move(both);
  }
  return fail(kDoing, path_, "somebody writes it all the time");
}

}  // namespace dirbox::sync
