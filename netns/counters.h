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

/// How long what has used up its rate is left alone.
inline constexpr std::chrono::milliseconds kRatePause{20};

/// What an entry of NetworkSpec::name_limits has left. All the names that it covers share it: one
/// more name is not one more budget.
class Budget {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Budget(const NameLimits& limits) : limits_(limits) {}
  /// Bytes that may move in `direction` right now, both limits considered; 0 when the rate says
  /// wait or the byte limit is used up. UINT64_MAX without limits.
  std::uint64_t allowance(Direction direction, Clock::time_point now);
  /// The byte limit of one direction is used up, so waiting does not help.
  bool exhausted(Direction direction) const;
  void spend(Direction direction, std::uint64_t bytes);

 private:
  NameLimits limits_;
  std::uint64_t uploaded_ = 0, downloaded_ = 0;
  std::uint64_t tokens_ = 0;  // bytes of the rate; a bucket of one second
  Clock::time_point refilled_{};
};

class NameState {
 public:
  NameCount count;

  /// `budget`: nullptr for a name without limits; else it outlives this.
  explicit NameState(Budget* budget = nullptr) : budget_(budget) {}
  bool limited() const { return budget_ != nullptr; }
  /// As of Budget. UINT64_MAX without limits.
  std::uint64_t allowance(Direction direction, Budget::Clock::time_point now);
  bool exhausted(Direction direction) const {
    return budget_ != nullptr && budget_->exhausted(direction);
  }
  void spend(Direction direction, std::uint64_t bytes);

 private:
  Budget* budget_;
};

class Counters {
 public:
  /// Above this many names, further ones are counted together under "(other)", or under the limit
  /// that covers them.
  static constexpr std::size_t kMaxNames = 4096;

  /// Errors name a limit whose host is malformed.
  static Result<Counters> make(const std::vector<NameLimits>& limits);

  /// The state of a name, made when there is none; stays valid. The most specific limit applies.
  NameState& of(const Host& host);
  /// The same by canonical text.
  NameState& of_text(const std::string& host);
  std::vector<NameCount> summary() const;
  /// A byte limit that covers the name is used up.
  bool used_up(const Host& host) const;

 private:
  struct Limit {
    NamePattern pattern;
    std::string name;
    std::unique_ptr<Budget> budget;
  };
  const Limit* find_limit(const Hostname& name) const;
  std::vector<Limit> limits_;
  std::map<std::string, std::unique_ptr<NameState>, std::less<>> names_;
};

}  // namespace dirbox::netns
