#pragma once
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <set>
#include <utility>

#include "launcher/base/event_loop.h"

namespace dirbox::supervise {

/// Theory of operation: when the command stops, the launcher stops as well, so that the user gets
/// his shell. Nobody would undo then what is planted, and the host's next `git status` may come
/// from that shell's prompt. So everything inside is stopped first, by init, whose kill(2) with -1
/// leaves out nothing that is being forked; and who was not stopped before goes on when the
/// launcher does.
class Freezer {
 public:
  /// `ask`: tells init to stop everything, which is answered by on_frozen(). `go_on`: thaw() came
  /// before that answer, and is to be called again.
  Freezer(EventLoop& loop, std::function<void()> ask, std::function<void()> go_on)
      : loop_(loop), ask_(std::move(ask)), go_on_(std::move(go_on)) {}

  /// Stops everything below `init`, a process of the host's numbers; then, and kSettle later, when
  /// calls that were under way have ended, calls `then`. Nothing where it is on its way already.
  void stop(pid_t init, std::function<void()> then);
  void on_frozen();
  /// Lets everything go on that stop() has stopped. False while init has still to stop it: what
  /// goes on now would be stopped after that.
  bool thaw();

 private:
  static constexpr std::chrono::milliseconds kSettle{50};

  EventLoop& loop_;
  std::function<void()> ask_, go_on_, then_;
  pid_t init_ = 0;      ///< 0: nothing is stopped
  bool asked_ = false;  ///< init has not answered
  std::set<pid_t> before_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace dirbox::supervise
