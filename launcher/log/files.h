#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/log/event.h"

/// Where logs are, and how they are read.
namespace dirbox::log {

inline constexpr const char* kSessions = "sessions";  ///< below the state directory
inline constexpr const char* kCurrent = "events.jsonl";
inline constexpr const char* kPrevious = "events.previous.jsonl";
inline constexpr const char* kFirst = "events.first.jsonl";
/// In the order of their events.
inline constexpr const char* kSegments[] = {kFirst, kPrevious, kCurrent};

struct LogInfo {
  std::string id;
  std::int64_t time_ns = 0;  ///< of the last event
  bool running = false;
};
/// The sessions below `sessions_directory` that logged something, oldest first. None: no error.
Result<std::vector<LogInfo>> list_logs(const std::string& sessions_directory);

/// The session whose id is `id` or begins so; the last one where `id` is empty.
/// Errors: none, or several.
Result<LogInfo> find_log(const std::string& state_directory, const std::string& id);

/// Reads the events of one session, and those that come later.
class Reader {
 public:
  static Result<Reader> open(const std::string& state_directory, const std::string& id);

  /// The next event; nullopt when there is none as yet. A torn or malformed line is passed over and
  /// counted.
  Result<std::optional<Event>> next();
  /// Lines that were no events.
  std::uint64_t skipped() const { return skipped_; }
  /// False when no process writes any more.
  bool running() const;

 private:
  Reader() = default;
  Result<bool> fill();
  Result<bool> next_segment();

  UniqueFd directory_, file_;
  std::string pending_;
  std::size_t at_ = 0;  ///< in pending_
  bool cut_ = false;    ///< the line that is being read is too long
  std::uint64_t skipped_ = 0;
};

}  // namespace dirbox::log
