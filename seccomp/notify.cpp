#include "seccomp/notify.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace dirbox::seccomp {
namespace {

constexpr std::string_view kDoing = "seccomp notification";
// Room for a kernel whose structures have grown: it copies its own size, which is asked for first.
constexpr std::size_t kBufferSize = 512;

union Buffer {
  seccomp_notif notification;
  seccomp_notif_resp response;
  char bytes[kBufferSize];
};

/// The caller was killed, or has its answer already (EINPROGRESS): nothing waits.
bool nothing_waits(int err) { return err == ENOENT || err == EINPROGRESS; }

int retry(int fd, unsigned long request, void* argument) {
  int rc = -1;
  do {
    rc = ::ioctl(fd, request, argument);
  } while (rc < 0 && errno == EINTR);
  return rc;
}

}  // namespace

std::string Notification::text() const {
  std::string name = call ? std::string(call->name) : fmt::format("syscall_{}", number);
  return fmt::format("{}({:#x}, {:#x}, {:#x}, {:#x}, {:#x}, {:#x})", name, args[0], args[1],
                     args[2], args[3], args[4], args[5]);
}

Result<Listener> Listener::make(UniqueFd fd) {
  seccomp_notif_sizes sizes{};
  if (::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0)
    return fail_errno(kDoing, "SECCOMP_GET_NOTIF_SIZES");
  auto fits = [](std::size_t size, std::size_t known) {
    return size >= known && size <= kBufferSize;
  };
  if (!fits(sizes.seccomp_notif, sizeof(seccomp_notif)) ||
      !fits(sizes.seccomp_notif_resp, sizeof(seccomp_notif_resp)))
    return fail(kDoing, "SECCOMP_GET_NOTIF_SIZES", "unexpected sizes");
  return Listener(std::move(fd));
}

Result<std::optional<Notification>> Listener::receive() {
  Buffer buffer;
  std::memset(&buffer, 0, sizeof buffer);  // the kernel refuses a buffer that is not zero
  if (::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_RECV, &buffer) != 0) {
    // ENOENT: the caller was killed; EINTR: so was the wait. Neither leaves anything to answer.
    if (errno == ENOENT || errno == EINTR) return std::optional<Notification>();
    return fail_errno(kDoing, "receive");
  }
  const seccomp_data& data = buffer.notification.data;
  Notification out;
  out.id = buffer.notification.id;
  out.pid = static_cast<pid_t>(buffer.notification.pid);
  out.number = data.nr;
  if (data.arch == audit_arch(kNativeArch)) out.call = find_call(kNativeArch, data.nr);
  std::copy(std::begin(data.args), std::end(data.args), std::begin(out.args));
  return std::optional(out);
}

Result<bool> Listener::deny(const Notification& notification, int err) {
  // 0 would mean success, and the kernel takes error numbers up to 4095 (MAX_ERRNO).
  if (err < 1 || err > 4095) return fail(kDoing, notification.text(), "the answer is no errno");
  Buffer buffer;
  std::memset(&buffer, 0, sizeof buffer);
  buffer.response.id = notification.id;
  buffer.response.error = -err;
  if (retry(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &buffer) == 0) return true;
  if (nothing_waits(errno)) return false;
  return fail_errno(kDoing, "answer");
}

Result<bool> Listener::let_go(const Notification& notification) {
  Buffer buffer;
  std::memset(&buffer, 0, sizeof buffer);
  buffer.response.id = notification.id;
  buffer.response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  if (retry(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &buffer) == 0) return true;
  if (nothing_waits(errno)) return false;
  return fail_errno(kDoing, "answer");
}

Result<bool> Listener::succeed(const Notification& notification, int value) {
  Buffer buffer;
  std::memset(&buffer, 0, sizeof buffer);
  buffer.response.id = notification.id;
  buffer.response.val = value;
  if (retry(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &buffer) == 0) return true;
  if (nothing_waits(errno)) return false;
  return fail_errno(kDoing, "answer");
}

Result<bool> Listener::give_fd(const Notification& notification, int fd, bool close_on_exec) {
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif
  seccomp_notif_addfd add{};
  add.id = notification.id;
  add.flags = SECCOMP_ADDFD_FLAG_SEND;  // both in one step (5.14)
  add.srcfd = static_cast<std::uint32_t>(fd);
  add.newfd_flags = close_on_exec ? O_CLOEXEC : 0;
  if (retry(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0) return true;
  if (nothing_waits(errno)) return false;
  return fail_errno(kDoing, "add descriptor");
}

void Listener::prefer_same_cpu() {
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS _IOW('!', 4, std::uint64_t)
#endif
  constexpr std::uint64_t kSyncWakeUp = 1;
  ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, kSyncWakeUp);
}

Result<bool> Listener::still_waits(const Notification& notification) const {
  std::uint64_t id = notification.id;
  if (retry(fd_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0) return true;
  if (errno == ENOENT) return false;
  return fail_errno(kDoing, "check");
}

Result<std::optional<int>> Listener::add_fd(const Notification& notification, int fd,
                                            bool close_on_exec) {
  seccomp_notif_addfd add{};
  add.id = notification.id;
  add.srcfd = static_cast<std::uint32_t>(fd);
  add.newfd_flags = close_on_exec ? O_CLOEXEC : 0;
  int number = retry(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add);
  if (number >= 0) return std::optional(number);
  if (nothing_waits(errno)) return std::optional<int>();
  return fail_errno(kDoing, "add descriptor");
}

}  // namespace dirbox::seccomp
