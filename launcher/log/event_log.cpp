#include "launcher/log/event_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/log/files.h"

namespace dirbox::log {
namespace {

constexpr std::string_view kDoing = "log an event";

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

/// What makes two events the same.
std::string key_of(const Event& event) {
  std::string key = {static_cast<char>(event.kind), static_cast<char>(event.operation)};
  for (const std::string* text : {&event.subject, &event.rule, &event.cause}) {
    key.append(*text).append(1, '\0');
  }
  return key;
}

/// Not in the middle of a UTF-8 character.
void cut_text(std::string& text) {
  if (text.size() <= EventLog::kMaxText) return;
  std::size_t end = EventLog::kMaxText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  text += "…";
}

void cut_texts(Event& event) {
  for (const Field& field : fields()) {
    if (const auto* member = std::get_if<std::string Event::*>(&field.member))
      cut_text(event.**member);
  }
}

/// The directory itself, which must be the caller's own and nobody else's to write.
Result<UniqueFd> open_private_directory(const std::string& path) {
  TRY_VOID(make_directories(path));
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat st {};
  if (!fd.valid() || ::fstat(fd.get(), &st) != 0) return fail_errno(kDoing, path);
  if (st.st_uid != ::geteuid() || (st.st_mode & 022) != 0)
    return fail(kDoing, path, "others can write there");
  return fd;
}

void remove_session(int root, const std::string& name) {
  UniqueFd directory(::openat(root, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) return;
  for (const char* segment : kSegments) ::unlinkat(directory.get(), segment, 0);
  // Fails where the session left something else: its state stays, its log does not.
  ::unlinkat(root, name.c_str(), AT_REMOVEDIR);
}

void sweep(const std::string& root_path) {
  auto sessions = list_logs(root_path);
  if (!sessions || sessions->size() <= EventLog::kMaxSessions) return;
  UniqueFd root(::open(root_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (std::size_t i = 0; i + EventLog::kMaxSessions < sessions->size(); ++i) {
    if (!(*sessions)[i].running) remove_session(root.get(), (*sessions)[i].id);
  }
}

}  // namespace

EventLog::EventLog(std::string state_directory, std::string session, Event start)
    : state_directory_(std::move(state_directory)),
      session_(std::move(session)),
      start_(std::move(start)) {
  start_.kind = Kind::start;
  if (start_.time_ns == 0) start_.time_ns = now_ns();
}

Event* EventLog::remember(const Event& event, bool& is_new) {
  auto [at, inserted] = index_.try_emplace(key_of(event), seen_.size());
  is_new = inserted;
  if (!inserted) return &seen_[at->second];
  if (seen_.size() >= kMaxDistinct) {
    index_.erase(at);
    ++dropped_;
    return nullptr;
  }
  seen_.push_back(event);
  written_.push_back(0);
  return &seen_.back();
}

Result<void> EventLog::write(Event event) {
  cut_texts(event);
  event.session = session_;
  if (event.time_ns == 0) event.time_ns = now_ns();
  bool is_new = false;
  Event* known = remember(event, is_new);
  if (known == nullptr) return append(event);
  if (!is_new) {
    known->count += event.count;
    known->time_ns = event.time_ns;
    if (!std::has_single_bit(static_cast<std::uint64_t>(known->count))) return {};
    event.count = known->count;
  }
  written_[static_cast<std::size_t>(known - seen_.data())] = event.count;
  return append(event);
}

Result<void> EventLog::close(int status) {
  if (!file_.valid()) return {};
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    if (seen_[i].count != written_[i]) TRY_VOID(append(seen_[i]));
  }
  Event last;
  last.kind = Kind::exit;
  last.session = session_;
  last.time_ns = now_ns();
  last.status = status;
  TRY_VOID(append(last));
  file_.reset();
  directory_.reset();
  return {};
}

Result<void> EventLog::append(const Event& event) {
  if (state_directory_.empty() || broken_) return {};
  auto done = append_to_file(event);
  if (!done) {
    broken_ = true;
    file_.reset();
  }
  return done;
}

Result<void> EventLog::append_to_file(Event event) {
  if (!file_.valid()) TRY_VOID(open());
  if (size_ >= kMaxSegment) TRY_VOID(rotate());
  event.sequence = ++sequence_;
  std::string line = event_to_json(event).dump();
  line += '\n';
  TRY_VOID(write_all(file_.get(), line, session_));
  size_ += line.size();
  return {};
}

Result<void> EventLog::open() {
  const std::string root = path_join(state_directory_, kSessions);
  TRY_VOID(open_private_directory(root));
  directory_ = TRY(open_private_directory(path_join(root, session_)));
  TRY_VOID(open_file());
  sweep(root);
  start_.session = session_;
  return append_to_file(start_);
}

Result<void> EventLog::open_file() {
  file_.reset(::openat(directory_.get(), kCurrent,
                       O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file_.valid()) return fail_errno(kDoing, kCurrent);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  struct stat st {};
  if (::fcntl(file_.get(), F_OFD_SETLK, &lock) != 0 || ::fstat(file_.get(), &st) != 0)
    return fail_errno(kDoing, kCurrent);
  size_ = static_cast<std::size_t>(st.st_size);
  char last = '\n';
  if (size_ > 0 && ::pread(file_.get(), &last, 1, st.st_size - 1) != 1)
    return fail_errno(kDoing, kCurrent);
  // After a crash: the torn line ends here.
  if (last != '\n') TRY_VOID(write_all(file_.get(), "\n", kCurrent));
  struct stat first {};
  rotated_ = ::fstatat(directory_.get(), kFirst, &first, AT_SYMLINK_NOFOLLOW) == 0;
  return {};
}

Result<void> EventLog::rotate() {
  const char* to = rotated_ ? kPrevious : kFirst;
  if (::renameat(directory_.get(), kCurrent, directory_.get(), to) != 0)
    return fail_errno(kDoing, to);
  // The old file's lock is held until the new one's is.
  UniqueFd old = std::move(file_);
  return open_file();
}

std::string state_directory() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return path_join(state, "dirbox");
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/') return {};
  return path_join(home, ".local/state/dirbox");
}

}  // namespace dirbox::log
