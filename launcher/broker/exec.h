#pragma once
#include <string>
#include <vector>

#include "launcher/broker/launch.h"

/// The last steps of a child on its way to execve, shared by launch.cpp and monitor.cpp.
namespace dirbox::broker {

/// argv and envp as execveat takes them. Views into the Launch.
class ExecVectors {
 public:
  explicit ExecVectors(const Launch& launch);
  char* const* argv() const { return argv_.data(); }
  char* const* envp() const { return envp_.data(); }

 private:
  std::vector<char*> argv_, envp_;
};

enum class JobKind { own_session, foreground_group };

/// vfork and exec. Called with any signal mask; leaves it as it was. `pidfd` may be null.
/// Returns the pid, or the negative errno of what failed.
pid_t spawn_command(const Launch& launch, const ExecVectors& vectors, JobKind kind, int* pidfd);

[[noreturn]] void run_monitor(const Launch& launch, int slave, int control);

}  // namespace dirbox::broker
