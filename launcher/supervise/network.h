#pragma once
#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "launcher/base/event_loop.h"
#include "launcher/base/result.h"
#include "launcher/sandbox/spec.h"
#include "netns/event.h"
#include "netns/proxy_control.h"
#include "netns/spec.h"

/// The supervisor's part of the network: between init, which makes the sockets, and the proxy.
namespace dirbox::supervise {

/// Theory of operation: init makes the listeners inside before the command runs and sends them
/// here. They are watched, not accepted on. The first of them that has something to accept starts
/// `dirbox
/// __proxy`, which gets all of them; what arrived meanwhile waits in their backlogs. So a command
/// that uses no network costs no proxy. When the proxy ends before the session, the listeners end
/// with it: the network is closed, which is said, and the command lives.
class Network {
 public:
  Network(EventLoop& loop, const netns::NetworkSpec& spec) : loop_(loop), spec_(spec) {}
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// Before the clone: what init calls, and the host's side of `publish`. Nothing in mode none.
  Result<void> prepare(sandbox::RunOptions& options);
  /// After the clone. Blocks until init has sent its listeners; an Error when it ended before.
  Result<void> receive_listeners();
  /// At the end of the session: asks the proxy for its counters and lets it end.
  void finish();

  struct Denied {
    netns::Event event;
    unsigned times = 0;
  };
  const std::vector<Denied>& denied() const { return denied_; }
  const std::vector<netns::NameCount>& counts() const { return counts_; }
  /// Sentences for stderr, in the order in which they came up.
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  void on_listener();
  Result<void> start_proxy();
  void on_report();
  void handle(const netns::ProxyReport& report);
  void remember(const netns::Event& event);
  void close_network();

  EventLoop& loop_;
  const netns::NetworkSpec& spec_;
  netns::ListenerSet listeners_;
  UniqueFd channel_, init_channel_;
  UniqueFd proxy_;
  pid_t proxy_pid_ = -1;
  bool finished_ = false;
  std::vector<Denied> denied_;
  std::vector<netns::NameCount> counts_;
  std::vector<std::string> complaints_;
};

}  // namespace dirbox::supervise
