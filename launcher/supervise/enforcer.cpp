#include "launcher/supervise/enforcer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>
#include <utime.h>

#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>

#include "launcher/base/file.h"
#include "launcher/base/unix_socket.h"

namespace dirbox::supervise {
namespace {

using guard::Act;
using guard::Answer;
using guard::Call;

constexpr int kNone = -1;  // there is no such argument
constexpr int kCwd = -2;   // the working directory, whatever the arguments

/// Where a call has what: positions of arguments.
struct Row {
  std::string_view call;
  Act act;
  int base, name;
  int other_base = kNone, other_name = kNone;
  int flags = kNone;
  int mode = kNone;
  unsigned fixed_flags = 0;
};
constexpr Row kRows[] = {
    {"open", Act::open, kCwd, 0, kNone, kNone, 1, 2},
    {"openat", Act::open, 0, 1, kNone, kNone, 2, 3},
    {"openat2", Act::open, 0, 1, kNone, kNone, 2},
    {"creat", Act::open, kCwd, 0, kNone, kNone, kNone, 1, O_CREAT | O_WRONLY | O_TRUNC},
    {"truncate", Act::truncate, kCwd, 0, kNone, kNone, kNone, kNone, O_WRONLY},
    {"mkdir", Act::directory, kCwd, 0, kNone, kNone, kNone, 1},
    {"mkdirat", Act::directory, 0, 1, kNone, kNone, kNone, 2},
    {"mknod", Act::node, kCwd, 0, kNone, kNone, kNone, 1},
    {"mknodat", Act::node, 0, 1, kNone, kNone, kNone, 2},
    {"link", Act::link, kCwd, 0, kCwd, 1},
    {"linkat", Act::link, 0, 1, 2, 3, 4},
    {"symlink", Act::symlink, kNone, 0, kCwd, 1},
    {"symlinkat", Act::symlink, kNone, 0, 1, 2},
    {"rename", Act::rename, kCwd, 0, kCwd, 1},
    {"renameat", Act::rename, 0, 1, 2, 3},
    {"renameat2", Act::rename, 0, 1, 2, 3, 4},
    {"unlink", Act::remove, kCwd, 0},
    {"unlinkat", Act::remove, 0, 1, kNone, kNone, 2},
    {"rmdir", Act::remove, kCwd, 0, kNone, kNone, kNone, kNone, AT_REMOVEDIR},
    {"chmod", Act::mode, kCwd, 0, kNone, kNone, kNone, 1},
    {"fchmodat", Act::mode, 0, 1, kNone, kNone, kNone, 2},
    {"fchmodat2", Act::mode, 0, 1, kNone, kNone, 3, 2},
    {"chown", Act::owner, kCwd, 0},
    {"lchown", Act::owner, kCwd, 0, kNone, kNone, kNone, kNone, AT_SYMLINK_NOFOLLOW},
    {"fchownat", Act::owner, 0, 1, kNone, kNone, 4},
    {"utime", Act::times, kCwd, 0},
    {"utimes", Act::times, kCwd, 0},
    {"futimesat", Act::times, 0, 1},
    {"utimensat", Act::times, 0, 1, kNone, kNone, 3},
    {"setxattr", Act::attribute, kCwd, 0},
    {"lsetxattr", Act::attribute, kCwd, 0, kNone, kNone, kNone, kNone, AT_SYMLINK_NOFOLLOW},
    {"removexattr", Act::attribute, kCwd, 0},
    {"lremovexattr", Act::attribute, kCwd, 0, kNone, kNone, kNone, kNone, AT_SYMLINK_NOFOLLOW},
    {"access", Act::access, kCwd, 0, kNone, kNone, kNone, 1},
    {"faccessat", Act::access, 0, 1, kNone, kNone, kNone, 2},
    {"faccessat2", Act::access, 0, 1, kNone, kNone, 3, 2},
};

std::uint64_t argument(const seccomp::Notification& from, int position) {
  return from.args[static_cast<std::size_t>(position)];
}

template <class T>
bool copy(const Task& task, std::uint64_t address, T& out) {
  const std::string bytes = task.memory(address, sizeof out);
  if (bytes.size() != sizeof out) return false;
  std::memcpy(&out, bytes.data(), sizeof out);
  return true;
}

/// The umask of the caller; nullopt when it went away.
std::optional<std::uint32_t> mask_of(const Task& task) {
  constexpr std::string_view kMark = "\nUmask:\t";
  auto text = read_file(fmt::format("/proc/{}/status", task.pid()), 1 << 16);
  const std::size_t at = text ? text->find(kMark) : std::string::npos;
  if (at == std::string::npos) return std::nullopt;
  std::uint32_t mask = 0;
  const char* begin = text->data() + at + kMark.size();
  const auto read = std::from_chars(begin, text->data() + text->size(), mask, 8);
  if (read.ec != std::errc()) return std::nullopt;
  return mask;
}

/// The descriptor N of the caller in "/proc/self/fd/N", by which the C library changes what it has
/// opened with O_PATH: nobody but the caller has that name. nullopt for any other path.
std::optional<int> find_descriptor(std::string_view path) {
  constexpr std::string_view kMark = "/proc/self/fd/";
  if (!path.starts_with(kMark)) return std::nullopt;
  path.remove_prefix(kMark.size());
  int fd = -1;
  const auto read = std::from_chars(path.data(), path.data() + path.size(), fd);
  if (read.ec != std::errc() || read.ptr != path.data() + path.size() || fd < 0)
    return std::nullopt;
  return fd;
}

bool read_name(const Task& task, const seccomp::Notification& from, int base, int position,
               bool scoped, guard::Name& out) {
  auto text = task.text(argument(from, position));
  if (!text || text->empty()) return false;
  out.path = std::move(*text);
  if (base == kNone || (out.path.starts_with('/') && !scoped)) return true;
  const int directory = base == kCwd ? AT_FDCWD : static_cast<int>(argument(from, base));
  return task.base(directory, out.base, out.device, out.inode);
}

bool read_open(const Task& task, const seccomp::Notification& from, const Row& row, Call& call) {
  if (row.call == "openat2") {
    open_how how{};
    // What a newer kernel may know is for the kernel, which refuses what it does not.
    if (argument(from, 3) != sizeof how || !copy(task, argument(from, 2), how) ||
        how.flags >> 32 != 0)
      return false;
    call.flags = static_cast<std::uint32_t>(how.flags);
    call.mode = static_cast<std::uint32_t>(how.mode);
    call.resolve = how.resolve & ~std::uint64_t{RESOLVE_CACHED};
  }
  constexpr unsigned kMeansWriting = O_ACCMODE | O_CREAT;
  return (call.flags & O_PATH) == 0 && (call.flags & kMeansWriting) != 0;
}

bool read_times(const Task& task, const seccomp::Notification& from, const Row& row, Call& call) {
  const std::uint64_t address = argument(from, row.base == kCwd ? 1 : 2);
  if (address == 0) {
    for (timespec& time : call.times) time = {0, UTIME_NOW};
    return true;
  }
  if (row.call == "utimensat") return copy(task, address, call.times);
  if (row.call == "utime") {
    utimbuf times{};
    if (!copy(task, address, times)) return false;
    call.times[0] = {times.actime, 0};
    call.times[1] = {times.modtime, 0};
    return true;
  }
  timeval times[2];
  if (!copy(task, address, times)) return false;
  for (int i = 0; i < 2; ++i) {
    if (times[i].tv_usec < 0 || times[i].tv_usec >= 1'000'000) return false;
    call.times[i] = {times[i].tv_sec, times[i].tv_usec * 1000};
  }
  return true;
}

bool changes_one(Act act) { return act == Act::mode || act == Act::owner || act == Act::times; }

/// Of a call that means what a descriptor is of, by an empty path or the name of the descriptor.
std::optional<int> read_descriptor(const Task& task, const seccomp::Notification& from,
                                   const Row& row, std::uint32_t flags) {
  const auto text = task.text(argument(from, row.name));
  if (!text) return std::nullopt;
  if (!text->empty()) return find_descriptor(*text);
  if (row.base < 0 || (flags & AT_EMPTY_PATH) == 0) return std::nullopt;
  const int fd = static_cast<int>(argument(from, row.base));
  return fd >= 0 ? std::optional(fd) : std::nullopt;
}

/// nullopt: the call goes on.
std::optional<Call> read_call(const Task& task, const seccomp::Notification& from, const Row& row) {
  Call call;
  call.act = row.act;
  call.flags = row.fixed_flags;
  if (row.flags != kNone) call.flags |= static_cast<std::uint32_t>(argument(from, row.flags));
  if (row.mode != kNone) call.mode = static_cast<std::uint32_t>(argument(from, row.mode));
  if (row.act == Act::open && !read_open(task, from, row, call)) return std::nullopt;
  if (row.act == Act::truncate) call.size = static_cast<std::int64_t>(argument(from, 1));
  if (row.act == Act::owner) {
    const int first = row.base == kCwd ? 1 : 2;
    call.owner = static_cast<std::uint32_t>(argument(from, first));
    call.group = static_cast<std::uint32_t>(argument(from, first + 1));
  }
  if (row.act == Act::times && !read_times(task, from, row, call)) return std::nullopt;
  if (changes_one(row.act)) {
    if (const auto descriptor = read_descriptor(task, from, row, call.flags)) {
      call.flags |= AT_SYMLINK_NOFOLLOW;
      guard::Name& name = call.names[0];
      if (!task.base(*descriptor, name.base, name.device, name.inode)) return std::nullopt;
      return call;
    }
  }
  if (row.act != Act::rename && row.act != Act::open && (call.flags & AT_EMPTY_PATH) != 0)
    return std::nullopt;
  const bool makes = row.act == Act::directory || row.act == Act::node ||
                     (row.act == Act::open && (call.flags & O_CREAT) != 0);
  const bool scoped = call.resolve != 0;
  if (!read_name(task, from, row.base, row.name, scoped, call.names[0])) return std::nullopt;
  if (row.other_name != kNone &&
      !read_name(task, from, row.other_base, row.other_name, false, call.names[1])) {
    return std::nullopt;
  }
  if (makes) {
    auto mask = mask_of(task);
    if (!mask) return std::nullopt;
    call.mask = *mask;
  }
  return call;
}

const Row* find_row(const seccomp::Notification& from) {
  if (from.call == nullptr) return nullptr;
  for (const Row& row : kRows) {
    if (row.call == from.call->name) return &row;
  }
  return nullptr;
}

}  // namespace

Answer Enforcer::ask(const seccomp::Listener& listener, const seccomp::Notification& notification,
                     UniqueFd& descriptor, bool& close_on_exec) {
  const Row* row = ended() ? nullptr : find_row(notification);
  if (row == nullptr) return {};
  const Task task(notification.pid);
  const auto call = read_call(task, notification, *row);
  if (!call) return {};
  // The caller may have been killed, and its number be another's: nothing is done for that one.
  auto waits = listener.still_waits(notification);
  if (!waits || !*waits) return {};
  auto bytes = guard::encode_call(*call);
  if (!bytes) return {};
  auto reply = send_message(socket_.get(), *bytes)
                   ? receive_message(socket_.get(), guard::kMaxAnswer, 1)
                   : Result<Message>(Failure(Error{}));
  auto answer =
      reply && !reply->end ? guard::parse_answer(reply->bytes) : Result<Answer>(Failure(Error{}));
  const bool closed =
      answer && (!answer->executable || receive_message(socket_.get(), guard::kMaxAnswer, 0));
  if (!closed) {
    socket_.reset();
    return {};
  }
  if (!reply->fds.empty()) descriptor = std::move(reply->fds.front());
  close_on_exec = (call->flags & O_CLOEXEC) != 0;
  return *answer;
}

}  // namespace dirbox::supervise
