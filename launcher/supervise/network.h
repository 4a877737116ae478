#pragma once
#include <sys/types.h>

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launcher/base/event_loop.h"
#include "launcher/base/result.h"
#include "launcher/log/event.h"
#include "launcher/sandbox/spec.h"
#include "netns/event.h"
#include "netns/grants.h"
#include "netns/proxy_control.h"
#include "netns/spec.h"

/// The supervisor's part of the network: between init, which makes the sockets, and the proxy.
namespace dirbox::supervise {

/// Theory of operation: init makes the listeners inside before the command runs and sends them
/// here. They are watched, not accepted on. The first of them that has something to accept starts
/// `dirbox __proxy`, which gets all of them; what arrived meanwhile waits in their backlogs. So a
/// command that uses no network costs no proxy. When the proxy ends before the session, the
/// listeners end with it: the network is closed, which is said, and the command lives.
///
/// A change of rules is checked here as a complete set, goes to the proxy when there is one, and is
/// in force when the proxy has said so. A proxy that refuses a valid set is not sane: it is ended.
class Network {
 public:
  /// Takes what the proxy reports and what is changed, as it comes up.
  using Sink = std::function<void(log::Event)>;
  Network(EventLoop& loop, const netns::NetworkSpec& spec, Sink sink)
      : loop_(loop), spec_(spec), sink_(std::move(sink)), grants_(spec) {}
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// Before the clone: what init calls, and the host's side of `publish`. Nothing in mode none.
  Result<void> prepare(sandbox::RunOptions& options);
  /// After the clone. Blocks until init has sent its listeners; an Error when it ended before.
  Result<void> receive_listeners();
  /// At the end of the session: asks the proxy for its counters and lets it end.
  void finish();

  using Notes = netns::Grants::Notes;
  using Changed = std::function<void(Result<Notes>)>;
  /// `dirbox grant` and `dirbox revoke`. Calls back once, when the change is in force or refused.
  void grant(const std::string& rule, std::optional<std::chrono::seconds> duration, Changed done);
  void revoke(const std::string& rule, Changed done);
  std::vector<netns::Grants::Listed> rules() const { return grants_.list(); }
  /// What was granted, revoked and over, in order; for the summary.
  const std::vector<std::string>& changes() const { return changes_; }

  const std::vector<netns::NameCount>& counts() const { return counts_; }
  /// Events that the proxy had no room to report.
  std::uint64_t dropped() const { return dropped_; }
  /// Sentences for stderr, in the order in which they came up.
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  void on_listener();
  Result<void> start_proxy();
  void on_report();
  void handle(const netns::ProxyReport& report);
  void close_network();
  void serve_late_connections();
  void end_proxy(const std::string& why);
  void change(netns::Grants next, const std::string& what, const Changed& done);
  void plan_expiry();
  void on_expiry();
  void refuse_waiting(const std::string& why);

  EventLoop& loop_;
  const netns::NetworkSpec& spec_;
  Sink sink_;
  netns::ListenerSet listeners_;
  UniqueFd channel_, init_channel_;
  UniqueFd proxy_;
  pid_t proxy_pid_ = -1;
  bool finished_ = false;
  bool closed_ = false;
  netns::Grants grants_;
  std::deque<std::function<void(Result<void>)>> waiting_;  // for the proxy's answers, in order
  EventLoop::TimerId expiry_ = 0;
  std::vector<std::string> changes_;
  std::uint64_t dropped_ = 0;
  std::vector<netns::NameCount> counts_;
  std::vector<std::string> complaints_;
};

}  // namespace dirbox::supervise
