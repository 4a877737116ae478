#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "launcher/log/event.h"
#include "launcher/plan/explain.h"
#include "launcher/plan/plan.h"
#include "launcher/supervise/task.h"
#include "seccomp/notify.h"

/// From a call that waits to what the log says about it.
namespace dirbox::supervise {

/// Theory of operation: of a permitted call it is foretold whether mounts will refuse it, from the
/// Plan: the names are read from the caller, and looked up as the Plan has mounted them. A name
/// that plainly lies where the call may do what it wants costs no more than reading it; only others
/// are resolved. What the user could not do outside either is no refusal of the policy, and is
/// passed over unless reads are observed too: so a program that tries to write to /usr and copes is
/// not reported to an ordinary user. A symlink that leads from where writing is granted to where it
/// is not is not seen.
class Look {
 public:
  using Report = std::function<void(log::Event)>;
  /// `found_server`: something connects to a unix socket in a granted directory, which a program of
  /// the host may listen to.
  Look(const plan::Plan& plan, Report report, std::function<void()> found_server);

  /// A call that goes on.
  void at_permitted(const seccomp::Notification& call);
  /// A call that `decision` refuses.
  void at_denied(const seccomp::Notification& call, const seccomp::Decision& decision);

 private:
  struct Path {
    log::Operation operation;
    plan::Want want = plan::Want::write;
    bool follow = true;  ///< the last symlink
    bool entry = false;  ///< it is made, moved or removed: its directory is what changes
    bool makes_directory = false;
    std::string name{};  ///< as the caller means it, absolute
  };
  bool is_allowed(const Task& task, std::string_view path, const Path& wanted) const;
  void check(const Task& task, Path path);
  void check_peer(const Task& task, const seccomp::Notification& call);
  void check_open(const Task& task, const seccomp::Notification& call);
  void check_names(const Task& task, const seccomp::Notification& call);
  void report(const Task& task, log::Event event);

  const plan::Plan& plan_;
  plan::TreeView tree_;
  Report report_;
  std::function<void()> found_server_;
};

/// A plan's answer as an event of kind `denied`.
log::Event event_of(const plan::Answer& answer, log::Operation operation);

/// "ptrace(PTRACE_ATTACH, 42)": the name and what its arguments mean. `task` for the texts.
std::string decode_call(const seccomp::Notification& call, const Task& task);

}  // namespace dirbox::supervise
