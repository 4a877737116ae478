#pragma once
#include <sys/types.h>

#include <functional>
#include <set>

#include "launcher/base/event_loop.h"

namespace dirbox::supervise {

/// Theory of operation: when the command stops, the launcher stops as well, so that the user gets
/// his shell. Nobody would undo then what is planted, and the host's next `git status` may come
/// from that shell's prompt. So everything inside is stopped first, by init, whose kill(2) with -1
/// leaves out nothing that is being forked; and who was not stopped before goes on when the
/// launcher does.
class Freezer {
 public:
  /// `ask`: tells init to stop everything, which is answered by on_frozen().
  Freezer(EventLoop& loop, std::function<void()> ask) : loop_(loop), ask_(std::move(ask)) {}

  /// Stops everything below `init`, a process of the host's numbers; then, and kSettle later, when
  /// calls that were under way have ended, calls `then`. Nothing where it is on its way already.
  void stop(pid_t init, std::function<void()> then);
  void on_frozen();
  /// Lets everything go on that stop() has stopped; also in the middle of it.
  void thaw();

 private:
  static constexpr std::chrono::milliseconds kSettle{50};

  EventLoop& loop_;
  std::function<void()> ask_, then_;
  pid_t init_ = 0;  ///< 0: nothing is stopped
  std::set<pid_t> before_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace dirbox::supervise
