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
#include <memory>
#include <thread>
#include <utility>

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
    // By then somebody may have taken it for left over, and made his own: that needs kStale.
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
  ~Beside() {
    if (!kept_) ::unlinkat(directory_, name_.c_str(), 0);
  }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  void keep() { kept_ = true; }
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
  bool kept_ = false;
};

/// Undoes an exchange: `out` holds what was called `name`, where `in_place` is now. What somebody
/// wrote there meanwhile is newer, and stays. Where neither can be had, `out` is kept.
void put_back(int directory, Beside& out, const std::string& name, Text in_place,
              const std::string& path) {
  auto text_of = [&]() -> Text {
    auto found = read_at(directory, out.name(), path);
    return found ? std::move(found->text) : Text{};
  };
  auto rename_with = [&](unsigned flags) {
    return ::renameat2(directory, out.name().c_str(), directory, name.c_str(), flags) == 0;
  };
  Text held = text_of();
  for (int tries = 0; tries < HostFile::kMaxExchanges; ++tries) {
    if (!rename_with(RENAME_EXCHANGE)) {
      if (errno != ENOENT || !rename_with(RENAME_NOREPLACE)) break;
      return;  // it had been removed
    }
    Text pulled = text_of();
    if (pulled == in_place) return;
    in_place = std::exchange(held, std::move(pulled));
  }
  out.keep();
}

/// What was in the place of a file; not `placed`: it still is.
struct Out {
  Found was;
  bool placed = true;
};

/// Puts `fresh`, which holds `next`, in the place of `name`, and what was there in the place of
/// `fresh`. Where the file system exchanges nothing, only over what is `expected`.
Result<Out> exchange(int directory, Beside& fresh, const std::string& name, const Text& expected,
                     const std::string& next, const std::string& path) {
  auto rename_with = [&](unsigned flags) {
    return ::renameat2(directory, fresh.name().c_str(), directory, name.c_str(), flags) == 0;
  };
  for (int tries = 0; tries < HostFile::kMaxExchanges; ++tries) {
    if (rename_with(RENAME_EXCHANGE)) {
      auto was = read_at(directory, fresh.name(), path);
      if (!was) put_back(directory, fresh, name, next, path);
      return Out{TRY(std::move(was))};
    }
    if (errno == ENOENT && rename_with(RENAME_NOREPLACE)) return Out{};
    if (errno == EEXIST) continue;  // made meanwhile
    if (errno != EINVAL && errno != ENOSYS) return fail_errno(kDoing, path);
    // A file system that exchanges nothing: what is written from here to the rename is lost.
    Found was = TRY(read_at(directory, name, path));
    if (was.text != expected) return Out{std::move(was), false};
    if (::renameat(directory, fresh.name().c_str(), directory, name.c_str()) != 0)
      return fail_errno(kDoing, path);
    return Out{std::move(was)};
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
  const std::string beside =
      fmt::format(".{}.dirbox-{}-{:x}", name, ::getpid(), Clock::now().time_since_epoch().count());
  // What was written without the lock and is in no text of the file yet: it outlives any error.
  std::unique_ptr<Beside> out;
  auto give_up = [&](Error error) -> Result<bool> {
    if (out) put_back(directory.get(), *out, name, expected, path_);
    return Failure(std::move(error));
  };
  for (int tries = 0; tries < kMaxExchanges; ++tries) {
    if (expected == next) return true;
    auto fresh = std::make_unique<Beside>(directory.get(), fmt::format("{}-{}", beside, tries));
    if (auto written = fresh->write(next, there); !written) return give_up(written.error());
    auto changed = exchange(directory.get(), *fresh, name, expected, next, path_);
    if (!changed) return give_up(changed.error());
    const Text& was = changed->was.text;
    if (was == expected) return true;
    // Written by somebody without the lock, from `expected`: both sides' changes belong in it.
    auto both = combine(expected, was, next);
    out = changed->placed && was ? std::move(fresh) : nullptr;
    expected = changed->placed ? Text(std::move(next)) : was;
    if (!both) return give_up(both.error());
    next = std::move(*both);
  }
  return give_up({kDoing, path_, 0, "somebody writes it all the time", {}});
}

}  // namespace dirbox::sync
