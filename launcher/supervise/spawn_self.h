#pragma once
#include <sys/types.h>

#include "launcher/base/result.h"

namespace dirbox::supervise {

/// `dirbox VERB`: the file of this process in a process of its own, with `control` as descriptor 3,
/// an empty environment, no blocked signal and a process group of its own: terminal signals are for
/// the command.
Result<pid_t> spawn_self(const char* verb, int control);

/// SIGKILL and reap; nothing for -1.
void kill_and_reap(pid_t pid);

}  // namespace dirbox::supervise
