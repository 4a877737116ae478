#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "launcher/base/result.h"

namespace dirbox::supervise {

/// What the filter has asked about, in memory that the observer shares with the supervisor.
///
/// Theory of operation: the observer, which alone writes, counts each question before it answers,
/// and remembers which thread asked last at which count. A call that is let go may take any time
/// before the kernel has done it, so the supervisor looks at each thread that has asked: one that
/// sleeps in another call has left that one, and so has one that is gone.
class Asked {
 public:
  Asked() = default;
  ~Asked();
  Asked(const Asked&) = delete;
  Asked& operator=(const Asked&) = delete;
  /// Before the observer is forked.
  Result<void> make();
  bool made() const { return shared_ != nullptr; }

  /// The observer's, before each answer. True when the supervisor waits to hear of the next one.
  bool note(pid_t thread);
  /// The observer's: that could not be told.
  void wait_again();
  /// The observer's: from here on something may act that nobody is asked about, and settle() has
  /// nothing to say. So too when more than kThreads threads that have asked live at once.
  void lose();

  /// The supervisor's.
  std::uint64_t count() const;
  /// Whether count() is still that, and nothing acts unseen.
  bool is_silent(std::uint64_t since) const;
  /// count(), when no call that was asked about by then is under way; asks to be told of the next.
  std::optional<std::uint64_t> settle();

 private:
  static constexpr std::size_t kThreads = 4096;
  struct Shared;
  std::size_t slot_of(pid_t thread);

  Shared* shared_ = nullptr;
  std::unordered_map<pid_t, std::size_t> slots_;  ///< the observer's
  std::vector<std::size_t> free_;                 ///< of threads that have ended
  std::uint64_t settled_ = 0;                     ///< the supervisor's: what asked before has left
};

/// Whether `thread` is in no call that the filter asks about. False where that cannot be told.
bool has_left_observed_call(pid_t thread);

}  // namespace dirbox::supervise
