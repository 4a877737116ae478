#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "seccomp/groups.h"

/// Theory of operation. A call whose clause says `notify` halts; the supervisor reads what it was,
/// logs it by name, and answers with the policy's errno. Between an answer and a call that goes on,
/// other threads can change what its pointers point to; the arguments themselves are copies and do
/// not change. So let_go() is for calls that the policy permits by their arguments alone, and
/// nothing that was read through a pointer may make the choice.
namespace dirbox::seccomp {

struct Notification {
  std::uint64_t id = 0;
  pid_t pid = 0;  ///< of the thread, in the reader's pid namespace; 0 when it is not in there
  int number = 0;
  const Call* call = nullptr;  ///< nullptr when the number or the ABI is not in the table
  std::uint64_t args[6] = {};

  /// "ptrace(0x10, 0x2a, 0x0, 0x0, 0x0, 0x0)".
  std::string text() const;
};

class Listener {
 public:
  /// Takes what seccomp(2) gave for SECCOMP_FILTER_FLAG_NEW_LISTENER. Errors: the kernel's
  /// notifications are of a size this code does not know.
  static Result<Listener> make(UniqueFd fd);

  /// For an event loop: readable when a call waits; EPOLLHUP when nobody is under the filter.
  int fd() const { return fd_.get(); }

  /// The next waiting call; blocks when there is none. nullopt when it went away meanwhile.
  Result<std::optional<Notification>> receive();

  /// The call fails with `err` (1 to 4095). False when the caller is gone, or was answered.
  Result<bool> deny(const Notification& notification, int err);

  /// The call goes on, as if it had never been asked about (SECCOMP_USER_NOTIF_FLAG_CONTINUE).
  /// False when the caller is gone, or was answered.
  Result<bool> let_go(const Notification& notification);

  /// Asks the kernel to wake the caller at once on the processor of the answer (Linux 6.6), which
  /// halves the price of a notification. Without that nothing changes.
  void prefer_same_cpu();

  /// True while the call still waits: what was read of /proc/PID in between was the caller's.
  Result<bool> still_waits(const Notification& notification) const;

  /// The call returns `value`. False when the caller is gone, or was answered.
  Result<bool> succeed(const Notification& notification, int value = 0);

  /// The call returns the number of a duplicate of `fd` (borrowed) in the caller. False when the
  /// caller is gone, or was answered. An Error of the caller's table of descriptors (EMFILE) leaves
  /// the call waiting.
  Result<bool> give_fd(const Notification& notification, int fd, bool close_on_exec);

  /// Puts a duplicate of `fd` (borrowed) into the caller, and returns its number there. nullopt
  /// when the caller is gone, or was answered. Does not answer the call.
  Result<std::optional<int>> add_fd(const Notification& notification, int fd,
                                    bool close_on_exec = true);

 private:
  explicit Listener(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace dirbox::seccomp
