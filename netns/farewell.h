#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "launcher/base/event_loop.h"

namespace dirbox::netns {

/// Sends the last bytes of a refused connection and closes it so that the client can read them:
/// write, shutdown, then read and discard until the client closes, kMaxDrain bytes or kPatience.
/// Closing with unread input would send a reset, which destroys what was written (RFC 9112 9.6).
class Farewell {
 public:
  static constexpr std::chrono::seconds kPatience{2};
  static constexpr std::size_t kMaxDrain = 1 << 20;

  Farewell(EventLoop& loop, UniqueFd client, std::string bytes);
  ~Farewell();
  Farewell(const Farewell&) = delete;
  Farewell& operator=(const Farewell&) = delete;

  std::uint64_t id = 0;
  /// `finished` is called once, at the latest after kPatience.
  void start(std::function<void(Farewell&)> finished);

 private:
  void on_ready();

  EventLoop& loop_;
  UniqueFd client_;
  std::string bytes_;
  std::size_t sent_ = 0, drained_ = 0;
  bool shut_ = false, over_ = false;
  EventLoop::TimerId timer_ = 0;
  std::function<void(Farewell&)> finished_;
};

}  // namespace dirbox::netns
