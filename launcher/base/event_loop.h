#pragma once
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// Theory of operation: one epoll instance, level-triggered. A source is a borrowed fd and a
/// callback; the owner of the fd removes the source before it closes the fd. Callbacks may add and
/// remove sources, also their own: a removed source is never called again, not even for an event
/// that the kernel had already returned in the same batch. Timers live in a sorted map and set the
/// epoll_wait timeout. One thread.
namespace dirbox {

class EventLoop {
 public:
  using Callback = std::function<void(std::uint32_t events)>;
  using TimerCallback = std::function<void()>;
  using Clock = std::chrono::steady_clock;
  using TimerId = std::uint64_t;

  static Result<EventLoop> make();

  /// Watches `fd` (borrowed) for `events` (EPOLLIN, EPOLLOUT, 0 for errors only). Takes the place
  /// of what watched it before.
  Result<void> add(int fd, std::uint32_t events, Callback callback);
  Result<void> modify(int fd, std::uint32_t events);
  /// Another callback for the same events of a watched descriptor, without a system call.
  Result<void> hand_over(int fd, Callback callback);
  /// No effect on an fd that is not watched.
  void remove(int fd);
  /// remove() without a system call, for an fd whose only descriptor is closed before the loop runs
  /// on.
  void forget(int fd);

  TimerId after(std::chrono::milliseconds delay, TimerCallback callback);
  void cancel(TimerId timer);

  /// Runs until stop(). Errors only when epoll itself fails.
  Result<void> run();
  /// Waits at most `max_wait` once and runs what is ready.
  Result<void> run_once(std::chrono::milliseconds max_wait);
  void stop() { stopping_ = true; }
  /// For `time` after each event, the loop looks for the next one instead of sleeping; whoever else
  /// can run goes first. Zero, as at the start: it sleeps at once.
  void stay_awake(std::chrono::microseconds time) { awake_ = time; }

 private:
  struct Source {
    int fd;
    std::uint64_t generation;
    Callback callback;
  };
  static constexpr int kBatch = 64;
  EventLoop() = default;
  int look_for_events(epoll_event* events, int timeout);
  int next_timeout(std::chrono::milliseconds max_wait) const;
  void run_due_timers();

  UniqueFd epoll_;
  std::vector<std::shared_ptr<Source>> sources_;  // by fd
  std::uint64_t generation_ = 0;
  std::map<std::pair<Clock::time_point, TimerId>, TimerCallback> timers_;
  std::map<TimerId, Clock::time_point> timer_times_;
  TimerId next_timer_ = 1;
  std::chrono::microseconds awake_{0};
  Clock::time_point awake_until_;
  bool stopping_ = false;
};

}  // namespace dirbox
