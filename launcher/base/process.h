#pragma once
#include <sys/types.h>

#include <optional>

namespace dirbox {

/// Of a process, by proc_pid_stat(5).
struct ProcessState {
  char state = 0;  ///< 'T': stopped
  pid_t parent = 0;
};
/// nullopt: there is no such process, or it cannot be seen.
std::optional<ProcessState> read_process_state(pid_t pid);

}  // namespace dirbox
