#pragma once
#include <sys/types.h>

/// This process as a part of the job that the caller's shell made.
namespace dirbox::supervise {

/// Stops this process as the default action of `signal` (SIGTSTP, SIGTTIN or SIGTTOU) does, and
/// with `group` the rest of its job as well. Returns after SIGCONT, which stays pending for who
/// watches it: the caller must have it blocked. False when the kernel did not stop the process: no
/// process of the session could continue it (an orphaned process group, setpgid(2)).
bool stop_job(int signal, bool group);

/// Whether the process group `host_group` is led by the process that inside has the pid `inside`:
/// the last number of the line NSpid in /proc/PID/status (proc(5)).
bool check_group_leader(pid_t host_group, pid_t inside);

}  // namespace dirbox::supervise
