#include "launcher/guard/silence.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <utility>

#include "launcher/base/file.h"
#include "launcher/base/path.h"

namespace dirbox::guard {
namespace {

/// Between a call and the search for a mark, and at most between two.
constexpr std::chrono::milliseconds kQuiet{50}, kMostQuiet{800};
constexpr std::chrono::milliseconds kAgain{10};
constexpr std::chrono::seconds kPatience{5};  ///< with a file that the host has open

/// Longer than a read of a disk, into pages that were pinned as the ctime was set, can take.
constexpr std::int64_t kInFlight = 60'000'000'000;  // ns

/// Local file systems on which a mapping counts for the inode that is seen, and a write through it
/// sets the ctime; on tmpfs it does not. ZFS and bcachefs are not known to be of this kind.
constexpr std::uint32_t kCount[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
                                    F2FS_SUPER_MAGIC};

bool counts_writers(int file) {
  struct statfs system {};
  return ::fstatfs(file, &system) == 0 &&
         std::find(std::begin(kCount), std::end(kCount),
                   static_cast<std::uint32_t>(system.f_type)) != std::end(kCount);
}

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mode == b.st_mode && in_ns(a.st_ctim) == in_ns(b.st_ctim);
}

UniqueFd open_file(int directory, const std::string& name) {
  return UniqueFd(
      ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
}

}  // namespace

void Silence::wake() {
  marked_ = false;
  patience_.clear();
  delay_ = kQuiet;
  if (witness_.settle) ask(delay_);
}

void Silence::stop() {
  marked_ = false;
  if (timer_ != 0) loop_.cancel(timer_);
  timer_ = 0;
}

void Silence::ask(std::chrono::milliseconds delay) {
  if (timer_ != 0) return;
  timer_ = loop_.after(delay, [this] {
    timer_ = 0;
    again_();
    if (!waiting_.empty()) {
      ask(kAgain);
    } else if (!marked_) {
      delay_ = std::min(2 * delay_, kMostQuiet);
      ask(delay_);
    }
  });
}

Result<void> Silence::note_unguarded() const {
  constexpr const char* kDoing = "tell other sandboxes of this one";
  if (word_.empty()) return {};  // nobody has one here
  TRY_VOID(make_directories(path_parent(word_)));
  const UniqueFd file(::open(word_.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  struct timespec times[2];
  // By the clock of the mark, and not by the coarser one of a write.
  if (!file.valid() || ::clock_gettime(CLOCK_REALTIME, &times[0]) != 0)
    return fail_errno(kDoing, word_);
  times[1] = times[0];
  if (::futimens(file.get(), times) != 0) return fail_errno(kDoing, word_);
  return {};
}

/// At the mark, since then, and now.
bool Silence::is_alone(const std::string& path) const {
  struct stat word {};
  // Its ctime is by a coarser clock.
  const bool left = ::stat(word_.c_str(), &word) == 0
                        ? std::max(in_ns(word.st_mtim), in_ns(word.st_ctim) + kTick) >= alone_since_
                        : word_.empty() || errno != ENOENT;
  return !left && locks_.are_alone(path) &&
         std::any_of(alone_.begin(), alone_.end(),
                     [&](const auto& place) { return path_is_beneath(path, place); });
}

bool Silence::begin() {
  marked_ = false;
  files_.clear();
  stood_.clear();
  struct timespec now {};
  if (!witness_.settle || ::clock_gettime(CLOCK_REALTIME, &now) != 0) return false;
  // Before the look at the locks: who comes after it leaves a later word.
  alone_since_ = in_ns(now);
  alone_ = locks_.alone_in();
  const auto mark = witness_.settle();
  // By this clock, which is finer than that of the times of files: what was changed before is
  // older.
  if (!mark || ::clock_gettime(CLOCK_REALTIME, &now) != 0) return false;
  mark_ = *mark;
  at_ = in_ns(now);
  return true;
}

void Silence::note_file(const std::string& path, int directory, const std::string& name,
                        const Before& before, const struct timespec& started) {
  struct stat status {};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
    return;
  stood_.insert(path);
  const UniqueFd file = open_file(directory, name);
  if (!file.valid() || ::fstat(file.get(), &status) != 0) return;
  const std::int64_t changed = in_ns(status.st_ctim);
  const auto good = good_.find(path);
  // What changed as its time was taken may have changed again within the same tick.
  const bool untouched =
      before.exists && before.inode == status.st_ino && before.changed == changed &&
      (changed + kTick < in_ns(started) || (good != good_.end() && good->second == changed));
  // What the guard has put back, say.
  auto is_put_right = [&] {
    const auto text = read_fd(file.get(), kMaxKept, name);
    return before.text && text && *text == *before.text && at_ - changed > kInFlight;
  };
  if ((!untouched && !is_put_right()) || writers_of(file.get()) != Writers::none) return;
  const auto identity = identify(file.get());
  if (identity && identity->born != 0) files_[path] = *identity;
}

bool Silence::end() {
  marked_ = witness_.is_silent(mark_);
  return marked_;
}

/// A lease for reading is given where nobody has the file open for writing. The kernel takes it
/// back with a signal that does nothing, and lets the writer wait for the microsecond.
Silence::Writers Silence::writers_of(int file) {
  if (::fcntl(file, F_SETSIG, SIGURG) != 0) return Writers::unknown;
  if (::fcntl(file, F_SETLEASE, F_RDLCK) != 0)
    return errno == EAGAIN ? Writers::some : Writers::unknown;
  return ::fcntl(file, F_SETLEASE, F_UNLCK) == 0 ? Writers::none : Writers::unknown;
}

Silence::Whose Silence::put_off_or_give_up(const std::string& path) {
  const auto now = EventLoop::Clock::now();
  const auto since = patience_.try_emplace(path, now).first->second;
  if (witness_.is_silent(mark_) && now - since < kPatience) return Whose::later;
  patience_.erase(path);
  return Whose::unknown;
}

Silence::Whose Silence::whose(const std::string& path, int directory, const std::string& name,
                              const Entry& entry) {
  if (!marked_) return Whose::unknown;
  struct stat before {};
  struct stat after {};
  struct timespec now {};
  const std::int64_t changed = in_ns(entry.status.st_ctim);
  const UniqueFd file = open_file(directory, name);
  // Under another name it would be another file, which is no guarded one.
  if (!S_ISREG(entry.status.st_mode) || entry.status.st_nlink != 1 || !entry.text ||
      changed <= at_ || !file.valid() || !counts_writers(file.get()) ||
      ::clock_gettime(CLOCK_REALTIME, &now) != 0) {
    return Whose::unknown;
  }
  const auto identity = identify(file.get());
  const auto known = files_.find(path);
  // What is written anew may have what stood there before in it.
  const bool anew =
      identity && identity->born > at_ && (known != files_.end() || !stood_.contains(path));
  const bool in_place = identity && known != files_.end() && known->second == *identity;
  if (!anew && !in_place) return Whose::unknown;
  // Before it is put off: who planted it may be gone by then.
  if (!is_alone(path)) {
    wake();
    return Whose::unknown;
  }
  const Writers writers = writers_of(file.get());
  if (writers == Writers::unknown) return Whose::unknown;
  if (writers == Writers::some || in_ns(now) < changed + kTick) return put_off_or_give_up(path);
  const auto text = read_fd(file.get(), kMaxKept, name);
  if (::fstat(file.get(), &before) != 0 || !text) return Whose::unknown;
  // Alone at some moment after the look: what another sandbox had planted is gone by its end.
  const bool alone = is_alone(path);
  if (::fstatat(directory, name.c_str(), &after, AT_SYMLINK_NOFOLLOW) != 0 ||
      !is_same(before, after) || !is_same(before, entry.status) || *text != *entry.text) {
    return put_off_or_give_up(path);
  }
  patience_.erase(path);
  if (!alone || !witness_.is_silent(mark_)) {
    wake();
    return Whose::unknown;
  }
  files_[path] = *identity;
  good_[path] = changed;
  return Whose::host;
}

void Silence::put_off(const std::string& path, const GuardNode& node, const std::string& name) {
  waiting_.insert_or_assign(path, std::pair(node, name));
  ask(kAgain);
}

Silence::PutOff Silence::take_put_off() { return std::exchange(waiting_, {}); }

}  // namespace dirbox::guard
