#include "launcher/base/event_loop.h"

#include <sched.h>

#include <algorithm>

namespace dirbox {

Result<EventLoop> EventLoop::make() {
  EventLoop loop;
  loop.epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!loop.epoll_.valid()) return fail_errno("create an epoll instance", "");
  return loop;
}

Result<void> EventLoop::add(int fd, std::uint32_t events, Callback callback) {
  if (fd < 0) return fail_errno("watch a descriptor", std::to_string(fd), EBADF);
  auto index = static_cast<std::size_t>(fd);
  if (sources_.size() <= index) sources_.resize(index + 1);
  epoll_event event{};
  event.events = events;
  // fd and generation together tell a stale event from one of a new source with the same number.
  event.data.u64 = (++generation_ << 24) | static_cast<std::uint64_t>(fd);
  // A source may be left of a descriptor that was closed: ENOENT.
  bool changed = sources_[index] && ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0;
  if (!changed && ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail_errno("watch a descriptor", std::to_string(fd));
  }
  sources_[index] = std::make_shared<Source>(Source{fd, generation_, std::move(callback)});
  return {};
}

Result<void> EventLoop::modify(int fd, std::uint32_t events) {
  auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= sources_.size() || !sources_[index]) {
    return fail_errno("change a watched descriptor", std::to_string(fd), ENOENT);
  }
  epoll_event event{};
  event.events = events;
  event.data.u64 = (sources_[index]->generation << 24) | static_cast<std::uint64_t>(fd);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return fail_errno("change a watched descriptor", std::to_string(fd));
  }
  return {};
}

Result<void> EventLoop::hand_over(int fd, Callback callback) {
  auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= sources_.size() || !sources_[index]) {
    return fail_errno("hand over a descriptor", std::to_string(fd), ENOENT);
  }
  // The old source lives on in a callback of its own that is running.
  std::uint64_t generation = sources_[index]->generation;
  sources_[index] = std::make_shared<Source>(Source{fd, generation, std::move(callback)});
  return {};
}

void EventLoop::remove(int fd) {
  auto index = static_cast<std::size_t>(fd);
  if (fd < 0 || index >= sources_.size() || !sources_[index]) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  sources_[index].reset();
}

void EventLoop::forget(int fd) {
  auto index = static_cast<std::size_t>(fd);
  if (fd >= 0 && index < sources_.size()) sources_[index].reset();
}

EventLoop::TimerId EventLoop::after(std::chrono::milliseconds delay, TimerCallback callback) {
  TimerId id = next_timer_++;
  Clock::time_point when = Clock::now() + delay;
  timers_.emplace(std::pair(when, id), std::move(callback));
  timer_times_.emplace(id, when);
  return id;
}

void EventLoop::cancel(TimerId timer) {
  auto found = timer_times_.find(timer);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, timer});
  timer_times_.erase(found);
}

int EventLoop::next_timeout(std::chrono::milliseconds max_wait) const {
  auto wait = max_wait;
  if (!timers_.empty()) {
    auto until =
        std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
    until = std::max(until, std::chrono::milliseconds(0));
    wait = wait.count() < 0 ? until : std::min(wait, until);
  }
  return wait.count() < 0 ? -1 : static_cast<int>(std::min<std::int64_t>(wait.count(), 1 << 30));
}

void EventLoop::run_due_timers() {
  auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    timer_times_.erase(node.key().second);
    node.mapped()();
  }
}

/// How many there are until the time awake or `timeout`, in milliseconds, is over; 0 for none, -1
/// with errno.
int EventLoop::look_for_events(epoll_event* events, int timeout) {
  auto until = awake_until_;
  if (timeout >= 0) until = std::min(until, Clock::now() + std::chrono::milliseconds(timeout));
  while (Clock::now() < until) {
    int n = ::epoll_wait(epoll_.get(), events, kBatch, 0);
    if (n != 0) return n;
    ::sched_yield();
  }
  return 0;
}

Result<void> EventLoop::run_once(std::chrono::milliseconds max_wait) {
  epoll_event events[kBatch];
  int timeout = next_timeout(max_wait);
  int n = timeout != 0 && awake_.count() > 0 ? look_for_events(events, timeout) : 0;
  if (n == 0) n = ::epoll_wait(epoll_.get(), events, kBatch, timeout);
  if (n < 0 && errno != EINTR) return fail_errno("wait for events", "");
  if (n > 0 && awake_.count() > 0) awake_until_ = Clock::now() + awake_;
  for (int i = 0; i < n; ++i) {
    auto fd = static_cast<std::size_t>(events[i].data.u64 & 0xffffff);
    if (fd >= sources_.size() || !sources_[fd]) continue;
    std::shared_ptr<Source> source = sources_[fd];
    if (source->generation != events[i].data.u64 >> 24) continue;
    source->callback(events[i].events);
  }
  run_due_timers();
  return {};
}

Result<void> EventLoop::run() {
  stopping_ = false;
  while (!stopping_) TRY_VOID(run_once(std::chrono::milliseconds(-1)));
  return {};
}

}  // namespace dirbox
