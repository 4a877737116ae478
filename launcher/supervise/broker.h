#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/base/event_loop.h"
#include "launcher/base/result.h"
#include "launcher/broker/server.h"
#include "launcher/log/event.h"
#include "launcher/plan/plan.h"
#include "launcher/sandbox/control.h"
#include "launcher/sandbox/spec.h"

/// The supervisor's part of excluded commands: between init, which makes the sockets, and the
/// broker's server.
namespace dirbox::supervise {

/// Theory of operation: before the clone, each excluded command is pinned to its file on the host.
/// Init writes the shims, makes the sockets in the finished tree and sends them, behind a
/// descriptor of its user namespace, which only init itself may open. They are here before the
/// command starts; what connects meanwhile waits in their backlogs. Without excluded commands
/// nothing of this happens.
class Broker {
 public:
  using Record = std::function<void(log::Event)>;
  /// `before` is called for each request: a command of the host must not meet what the sandbox has
  /// just planted for it.
  Broker(EventLoop& loop, const plan::Plan& plan, Record record, std::function<void()> before)
      : loop_(loop), plan_(plan), record_(std::move(record)), before_(std::move(before)) {}

  bool wanted() const { return !plan_.excluded.empty(); }
  /// Whether an excluded command has been called.
  bool used() const { return used_; }
  /// Before the clone. Errors: a command that cannot be pinned (see broker::pin_command).
  Result<void> prepare(sandbox::RunOptions& options);
  /// A `sockets` message of init.
  Result<void> take(sandbox::Control& message);
  void on_child_stopped();
  /// At the end of the session, when nothing inside lives: ends and reaps what still runs.
  void finish();

 private:
  Result<void> use_grammar(const plan::Excluded& excluded, broker::Command& command) const;
  Result<void> listen(int control) const;
  Result<void> make_server(int user_namespace);
  void report(const broker::Event& event);
  void add_cure(const broker::Event& from, log::Event& event) const;

  EventLoop& loop_;
  const plan::Plan& plan_;
  Record record_;
  std::function<void()> before_;
  std::vector<broker::Command> commands_;  ///< in the order of the plan, until they are served
  std::size_t served_ = 0;
  bool used_ = false;
  std::optional<broker::Server> server_;
};

}  // namespace dirbox::supervise
