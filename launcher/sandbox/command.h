#pragma once
#include <sys/types.h>

#include <vector>

#include "launcher/base/result.h"
#include "launcher/sandbox/init.h"
#include "launcher/sandbox/spec.h"

/// The last step: from init to the command.
namespace dirbox::sandbox {

struct Started {
  pid_t pid = -1;
  int exec_errno = 0;  ///< not 0: execve(2) failed and nothing ran
};

/// Starts the command in a process group of its own: default signal dispositions and the caller's
/// mask, the seccomp filter as the very last thing before execve(2). vfork(2) semantics: init waits
/// until the exec has happened, so its outcome is known without a pipe.
/// Errors of everything before the exec are Errors; nothing ran then.
Result<Started> start_command(const Spec& spec, const RunOptions& options, int control,
                              bool has_terminal);

/// Puts this process under the command's filter; its listener, where it has one, goes over
/// `control`. System calls and their like only: it also runs between vfork and exec. False: errno.
bool enter_command_filter(const RunOptions& options, int control);

std::vector<StepInfo> list_command_steps();

}  // namespace dirbox::sandbox
