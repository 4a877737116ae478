#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "launcher/base/unique_fd.h"
#include "launcher/guard/call.h"
#include "launcher/supervise/task.h"
#include "seccomp/notify.h"

/// The supervisor's side of guard = "enforce": from a call that waits to its answer.
namespace dirbox::supervise {

/// Theory of operation. The arguments of a call that may change a name are read from the caller
/// once and sent to the writer (launcher/guard/writer.h), which does what it asks for or leaves it
/// to the kernel. What is read here decides nothing about what is safe: a call that goes on meets
/// read-only mounts, and the writer judges what it does itself. So whatever cannot be read or is
/// not understood goes on; and when the writer ends, everything does.
class Enforcer {
 public:
  /// `socket`: to the writer.
  explicit Enforcer(UniqueFd socket) : socket_(std::move(socket)) {}

  /// What became of the call. `descriptor`: what it returns, where that is one; `close_on_exec` for
  /// it.
  guard::Answer ask(const seccomp::Listener& listener, const seccomp::Notification& notification,
                    UniqueFd& descriptor, bool& close_on_exec);
  /// True once the writer has ended.
  bool ended() const { return !socket_.valid(); }

 private:
  UniqueFd socket_;
};

}  // namespace dirbox::supervise
