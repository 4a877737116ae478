#include "launcher/sandbox/writer.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>

#include "launcher/base/unix_socket.h"
#include "launcher/sandbox/init_filter.h"
#include "launcher/sandbox/sys.h"

namespace dirbox::sandbox {
namespace {

constexpr const char* kDoing = "start the guard's writer";
constexpr int kFirst = 3;  // of its sockets

Result<void> make_read_only(const std::string& path) {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY;
  if (::mount_setattr(AT_FDCWD, path.c_str(), AT_RECURSIVE | AT_SYMLINK_NOFOLLOW, &attr,
                      sizeof attr) != 0) {
    return fail_errno("make a guarded directory read-only for the command", path);
  }
  return {};
}

}  // namespace

Result<Fork> fork_writer(const std::vector<std::string>& guarded, std::size_t asking) {
  std::vector<UniqueFd> ours, theirs;
  for (std::size_t i = 0; i < 1 + asking; ++i) {
    SocketPair pair = TRY(make_socket_pair());
    ours.push_back(std::move(pair.ours));
    theirs.push_back(std::move(pair.theirs));
  }
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(kDoing, "fork");
  if (pid == 0) return Fork{true, std::move(theirs)};
  theirs.clear();
  if (::unshare(CLONE_NEWNS) != 0) return fail_errno(kDoing, "unshare");
  for (const std::string& path : guarded) TRY_VOID(make_read_only(path));
  return Fork{false, std::move(ours)};
}

Result<std::vector<int>> enter_writer(std::vector<UniqueFd> sockets) {
  constexpr int kOutOfTheWay = 16;
  std::vector<UniqueFd> high;
  for (const UniqueFd& socket : sockets) {
    high.emplace_back(::fcntl(socket.get(), F_DUPFD_CLOEXEC, kOutOfTheWay));
    if (!high.back().valid()) return fail_errno(kDoing, "its sockets");
  }
  sockets.clear();
  std::vector<int> kept;
  for (const UniqueFd& socket : high) {
    kept.push_back(kFirst + static_cast<int>(kept.size()));
    if (::dup3(socket.get(), kept.back(), O_CLOEXEC) < 0) return fail_errno(kDoing, "its sockets");
  }
  high.clear();
  if (::close_range(0, kFirst - 1, 0) != 0 ||
      ::close_range(static_cast<unsigned>(kept.back()) + 1, ~0u, 0) != 0 || ::chdir("/") != 0 ||
      ::prctl(PR_SET_NAME, "dirbox-writer") != 0) {
    return fail_errno(kDoing, "");
  }
  TRY_VOID(enter_writer_filter());
  constexpr std::byte kReady{1};
  TRY_VOID(send_message(kFirst, {&kReady, 1}));
  return kept;
}

Result<void> await_writer(int socket) {
  const Message message = TRY(receive_message(socket, 1, 0));
  if (message.end) return fail(kDoing, "", "it ended");
  return {};
}

}  // namespace dirbox::sandbox
