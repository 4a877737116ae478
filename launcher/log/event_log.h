#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/log/event.h"

/// The events of one session, on disk and for its summary.
namespace dirbox::log {

/// Theory of operation. Nothing is touched before the first event. Then STATE/sessions/ID is made
/// and events.jsonl in it is opened, locked (so that others see whether the session runs)
/// and begun with the start event that the log was made with. Each event is one line and one
/// write(2); a crash leaves at most one torn line, which readers pass over, and an append after it
/// begins on a line of its own.
///
/// What is inside chooses what is refused, and so fills the log. Repetitions (same kind, operation,
/// subject, rule and cause) are written when their count is a power of two, and once more at the
/// end. At kMaxSegment bytes the file becomes events.first.jsonl the first time, which is then
/// kept, and events.previous.jsonl later: neither how it began nor how it ended can be washed out.
/// kMaxSessions sessions are kept; making a log removes the oldest that do not run.
///
/// A log that cannot be written says so once and goes on counting for the summary.
class EventLog {
 public:
  static constexpr std::size_t kMaxSegment = 4 << 20;
  static constexpr std::size_t kMaxSessions = 200;
  static constexpr std::size_t kMaxDistinct = 2048;  ///< events that are counted one by one
  static constexpr std::size_t kMaxText = 4096;      ///< bytes of one text; the rest is cut off

  /// No system call. `state_directory`: $XDG_STATE_HOME/dirbox or the like; empty: only counted.
  /// `session` is a single path component. `start` tells what the session is; without a time, it
  /// starts now.
  EventLog(std::string state_directory, std::string session, Event start = {});

  /// Errors: the first time that the file cannot be made or written; afterwards none.
  Result<void> write(Event event);
  /// Writes the last counts and an exit event, when there is a file. No write may follow.
  Result<void> close(int status);

  /// Distinct events but start and exit, in the order in which they came up, with their counts.
  const std::vector<Event>& seen() const { return seen_; }
  /// Events that were not counted one by one, since there were too many different ones.
  std::uint64_t dropped() const { return dropped_; }

 private:
  Result<void> append(const Event& event);
  Result<void> append_to_file(Event event);
  Result<void> open();
  Result<void> open_file();
  Result<void> rotate();
  Event* remember(const Event& event, bool& is_new);

  std::string state_directory_, session_;
  Event start_;
  UniqueFd directory_, file_;
  std::size_t size_ = 0;
  std::int64_t sequence_ = 0;
  bool rotated_ = false, broken_ = false;
  std::vector<Event> seen_;
  std::vector<std::int64_t> written_;  ///< counts as they are in the file, beside seen_
  std::unordered_map<std::string, std::size_t> index_;
  std::uint64_t dropped_ = 0;
};

/// $XDG_STATE_HOME/dirbox or ~/.local/state/dirbox; empty without a home.
std::string state_directory();

}  // namespace dirbox::log
