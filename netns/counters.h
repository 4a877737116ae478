#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "netns/event.h"
#include "netns/host.h"
#include "netns/rules.h"
#include "netns/spec.h"

/// Bytes and connections per name, and what is left of a name's limits.
namespace dirbox::netns {

enum class Direction : std::uint8_t { up, down };  ///< up: from the sandbox

class NameState {
 public:
  using Clock = std::chrono::steady_clock;

  NameCount count;

  explicit NameState(const NameLimits& limits) : limits_(limits) {}
  /// Bytes that may move in `direction` right now, both limits considered; 0 when the rate says
  /// wait or the byte limit is used up. UINT64_MAX without limits.
  std::uint64_t allowance(Direction direction, Clock::time_point now);
  /// The byte limit of one direction is used up, so waiting does not help.
  bool exhausted(Direction direction) const;
  void spend(Direction direction, std::uint64_t bytes);
  bool limited() const {
    return limits_.max_upload != 0 || limits_.max_download != 0 || limits_.rate != 0;
  }

 private:
  NameLimits limits_;
  std::uint64_t tokens_ = 0;  // bytes of the rate; a bucket of one second
  Clock::time_point refilled_{};
};

class Counters {
 public:
  /// Above this many names, further ones are counted together under "(other)".
  static constexpr std::size_t kMaxNames = 4096;

  /// Errors name a limit whose host is malformed.
  static Result<Counters> make(const std::vector<NameLimits>& limits);

  /// The state of a name, made when there is none; stays valid. The most specific limit applies.
  NameState& of(const Host& host);
  /// The same by canonical text.
  NameState& of_text(const std::string& host);
  std::vector<NameCount> summary() const;

 private:
  struct Limit {
    NamePattern pattern;
    NameLimits limits;
  };
  std::vector<Limit> limits_;
  std::map<std::string, std::unique_ptr<NameState>, std::less<>> names_;
};

}  // namespace dirbox::netns
