#include "launcher/log/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox::log {
namespace {

constexpr std::size_t kChunk = 64 << 10;
constexpr std::size_t kMaxLine = 256 << 10;

UniqueFd open_in(int directory, const char* name, int flags) {
  return UniqueFd(::openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags));
}

/// Asks for the writer's lock without taking one, which could be in a writer's way.
bool is_locked(int directory) {
  UniqueFd file = open_in(directory, kCurrent, O_NONBLOCK);
  struct flock lock {};
  lock.l_type = F_RDLCK;
  return file.valid() && ::fcntl(file.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool is_name(const std::string& id) {
  return !id.empty() && id.front() != '.' && id.find('/') == std::string::npos;
}

}  // namespace

Result<std::vector<LogInfo>> list_logs(const std::string& sessions_directory) {
  std::vector<LogInfo> found;
  UniqueFd root(::open(sessions_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) {
    if (errno == ENOENT) return found;
    return fail_errno("list the logs", sessions_directory);
  }
  UniqueFd listing = open_in(root.get(), ".", O_DIRECTORY);
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(listing.get()), ::closedir);
  if (!entries) return fail_errno("list the logs", sessions_directory);
  listing.release();
  while (const dirent* entry = ::readdir(entries.get())) {
    if (entry->d_name[0] == '.') continue;
    UniqueFd directory = open_in(root.get(), entry->d_name, O_DIRECTORY);
    struct stat st {};
    if (!directory.valid() || ::fstatat(directory.get(), kCurrent, &st, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    found.push_back(
        {entry->d_name,
         static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec,
         is_locked(directory.get())});
  }
  std::sort(found.begin(), found.end(), [](const LogInfo& a, const LogInfo& b) {
    return a.time_ns != b.time_ns ? a.time_ns < b.time_ns : a.id < b.id;
  });
  return found;
}

Result<LogInfo> find_log(const std::string& state_directory, const std::string& id) {
  constexpr std::string_view kDoing = "find a log";
  std::vector<LogInfo> logs = TRY(list_logs(path_join(state_directory, kSessions)));
  if (logs.empty()) return fail(kDoing, escape_for_terminal(id), "no session has logged anything");
  if (id.empty()) return logs.back();
  std::vector<const LogInfo*> matching;
  for (const LogInfo& log : logs) {
    if (log.id == id) return log;
    if (log.id.starts_with(id)) matching.push_back(&log);
  }
  if (matching.size() == 1) return *matching.front();
  return fail(
      kDoing, escape_for_terminal(id),
      matching.empty() ? "no session of that id has logged anything" : "several sessions begin so",
      "dirbox log --list shows the ids");
}

Result<Reader> Reader::open(const std::string& state_directory, const std::string& id) {
  std::string path = path_join(path_join(state_directory, kSessions), id);
  if (!is_name(id)) return fail("read the log", escape_for_terminal(id), "not a session id");
  Reader reader;
  reader.directory_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!reader.directory_.valid()) return fail_errno("read the log", path);
  for (const char* segment : kSegments) {
    reader.file_ = open_in(reader.directory_.get(), segment, O_NONBLOCK);
    if (reader.file_.valid()) break;
  }
  if (!reader.file_.valid()) return fail_errno("read the log", path, ENOENT);
  return reader;
}

bool Reader::running() const { return is_locked(directory_.get()); }

/// Goes on to the next segment. False when this one is the last and still the current one.
Result<bool> Reader::next_segment() {
  struct stat own {};
  if (::fstat(file_.get(), &own) != 0) return fail_errno("read the log", "");
  struct stat current {};
  if (::fstatat(directory_.get(), kCurrent, &current, AT_SYMLINK_NOFOLLOW) != 0 ||
      (current.st_ino == own.st_ino && current.st_dev == own.st_dev)) {
    return false;
  }
  // Where this one is by now: what follows it is next. One that is gone was the previous one, and
  // another has its place.
  std::size_t at = 0;
  for (std::size_t i = 0; i + 1 < std::size(kSegments); ++i) {
    struct stat st {};
    if (::fstatat(directory_.get(), kSegments[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_ino == own.st_ino && st.st_dev == own.st_dev) {
      at = i;
    }
  }
  for (std::size_t i = at + 1; i < std::size(kSegments); ++i) {
    UniqueFd next = open_in(directory_.get(), kSegments[i], O_NONBLOCK);
    if (!next.valid()) continue;
    file_ = std::move(next);
    return true;
  }
  return false;
}

/// More bytes. False when there are none as yet.
Result<bool> Reader::fill() {
  for (;;) {
    const std::size_t have = pending_.size();
    pending_.resize(have + kChunk);
    ssize_t n = ::read(file_.get(), pending_.data() + have, kChunk);
    pending_.resize(have + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n > 0) return true;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read the log", "");
    if (!TRY(next_segment())) return false;
    if (have > 0) pending_ += '\n';  // a line that its writer never ended
  }
}

Result<std::optional<Event>> Reader::next() {
  for (;;) {
    const std::size_t end = pending_.find('\n', at_);
    if (end == std::string::npos) {
      pending_.erase(0, at_);
      at_ = 0;
      if (pending_.size() > kMaxLine) {
        pending_.clear();
        cut_ = true;
      }
      if (!TRY(fill())) return std::optional<Event>();
      continue;
    }
    std::string_view line = std::string_view(pending_).substr(at_, end - at_);
    at_ = end + 1;
    if (std::exchange(cut_, false)) {
      ++skipped_;
      continue;
    }
    if (line.empty()) continue;
    auto event = parse_event(line);
    if (event) return std::optional<Event>(std::move(*event));
    ++skipped_;
  }
}

}  // namespace dirbox::log
