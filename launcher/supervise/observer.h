#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>

#include "launcher/base/event_loop.h"
#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/log/event.h"
#include "launcher/plan/plan.h"
#include "launcher/supervise/asked.h"

/// Names what a running sandbox refuses.
namespace dirbox::supervise {

/// Theory of operation: the filter of the command asks about some calls (seccomp/observed.h). The
/// first question forks the observer, a process of this program in a process group of its own: it
/// answers while this one is stopped with its job, and a command that asks nothing costs nothing.
/// It answers a denied call with the policy's errno and lets a permitted one go on, whatever it saw
/// (look.h); what to answer follows from number and arguments alone, which are copies. Before the
/// answer it sends what it saw here, so a call's event is there before the call ends; it never
/// waits for this process, and counts what there was no room for. It holds the only descriptor of
/// the listener: when it ends, the calls that it is asked about fail with ENOSYS, and that is said.
class Observer {
 public:
  using Sink = std::function<void(log::Event)>;
  /// `asked` is called at the first question, and at the first one after each settle().
  Observer(EventLoop& loop, const plan::Plan& plan, Sink sink, std::function<void()> asked)
      : loop_(loop), plan_(plan), sink_(std::move(sink)), asked_(std::move(asked)) {}
  ~Observer();
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  /// Takes the socket of the guard's writer, before the listener.
  void attach_writer(UniqueFd socket) { writer_ = std::move(socket); }
  /// Takes the listener of the command's filter.
  Result<void> attach(UniqueFd listener);
  /// After the command: takes what is left, and ends the observer.
  void finish();
  /// False where the filter asks about every call that makes, opens for writing or moves something,
  /// and about every connection, and there was none.
  bool may_have_written() const { return !is_told() || written_; }
  /// Whether the filter asks about such calls at all.
  bool is_told() const { return plan_.observe != seccomp::Observe::none; }
  /// How many calls have been asked about, when none of them is under way any more and there may be
  /// no others; nullopt where that cannot be told.
  std::optional<std::uint64_t> settle();
  /// Whether there have been no more than settle() said.
  bool is_silent(std::uint64_t since) const;
  /// Events for which there was no room.
  std::uint64_t dropped() const { return dropped_; }

 private:
  void on_question(std::uint32_t events);
  Result<void> start();
  void on_report();
  bool take_report();
  void on_end();
  void end();

  EventLoop& loop_;
  const plan::Plan& plan_;
  Sink sink_;
  std::function<void()> asked_;
  Asked questions_;
  UniqueFd listener_, channel_, writer_;
  pid_t pid_ = -1;
  bool written_ = true;  ///< or, before attach(), not known
  std::uint64_t dropped_ = 0;
};

}  // namespace dirbox::supervise
