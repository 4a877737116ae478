#pragma once
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "launcher/base/event_loop.h"
#include "launcher/broker/docker/control.h"
#include "launcher/log/event.h"

/// The supervisor's part of the docker filter: between init, which makes the socket inside, and
/// `dirbox __docker`, which answers there.
namespace dirbox::supervise {

/// Theory of operation: the listener is watched, not accepted on. The first client starts the
/// filter, which gets the listener; so a session without docker costs nothing. When the filter ends
/// before the session, docker is closed, which is said, and the command lives.
class Docker {
 public:
  using Sink = std::function<void(log::Event)>;
  Docker(EventLoop& loop, const docker::FilterSpec& spec, Sink sink)
      : loop_(loop), spec_(spec), sink_(std::move(sink)) {}
  ~Docker();
  Docker(const Docker&) = delete;
  Docker& operator=(const Docker&) = delete;

  /// From init. Closes it where it cannot be watched, and says so.
  void take_listener(UniqueFd listener);
  /// At the end of the session. Waits a moment for the filter to tell which containers run on.
  void finish();
  /// Whether anything inside has connected.
  bool used() const { return used_; }
  /// Sentences for stderr.
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  void on_listener();
  Result<void> start_filter();
  void on_report();
  void hear_last();
  void close(const std::string& why);
  void stop();

  EventLoop& loop_;
  const docker::FilterSpec& spec_;
  Sink sink_;
  UniqueFd listener_, control_;
  pid_t pid_ = -1;
  bool used_ = false;
  std::vector<std::string> complaints_;
};

}  // namespace dirbox::supervise
