#pragma once
#include <sys/types.h>

#include <string>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/plan/plan.h"
#include "launcher/sandbox/spec.h"
#include "launcher/verify/probe.h"

/// What the launcher of a Runner holds open, and must not pass on: a directory of the host.
inline constexpr int kCanaryDescriptor = 100;

/// One sandbox of a Plan with the runner of probes in it as its command.
namespace dirbox::verify {

class Runner {
 public:
  /// Starts it, in a child process that is its supervisor. The Plan's own command does not run:
  /// this program is mounted read-only beside what the Plan mounts, and runs instead.
  /// `standard_error` becomes descriptor 2 inside. `state_directory`: of run_sandbox().
  static Result<Runner> start(const plan::Plan& plan, sandbox::RunOptions options,
                              int standard_error, const std::string& state_directory);
  Runner(Runner&& other) noexcept;
  Runner& operator=(Runner&&) = delete;
  ~Runner();

  /// A probe inside. Once the sandbox is gone every outcome is not_run.
  Outcome inside(std::string_view verb, const Words& words = {});

  /// `path` inside, by way of /proc; "" when no process of the sandbox can be found.
  std::string path_into(const std::string& path) const;

  pid_t supervisor() const { return supervisor_; }

  /// Why the sandbox could not be built or ended early; empty while it runs.
  const std::string& complaint() const { return complaint_; }
  /// Kills the supervisor as kill -9 does. True when everything inside ended within `milliseconds`.
  bool kill_supervisor(int milliseconds);

 private:
  Runner() = default;
  void end(const std::string& why);

  pid_t supervisor_ = -1;
  UniqueFd requests_, answers_, failures_;
  std::string pending_, complaint_;
};

}  // namespace dirbox::verify
