#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/broker/pin.h"
#include "launcher/broker/wire.h"

/// Starting a pinned command on the host. Descriptors are borrowed; those given as stdio must be 3
/// or higher, so that putting them in place cannot overwrite one another.
namespace dirbox::broker {

struct Launch {
  const Pinned* binary = nullptr;
  std::vector<std::string> arguments;  ///< after the name
  std::vector<std::string> environment;
  int stdio[3] = {-1, -1, -1};
  int cwd = -1;
};

/// Exit statuses for a command that did not start: 127 when it was not found, else 126.
int status_of_exec_error(int error);

/// A child of this process, in a session of its own without a terminal, with every signal at its
/// default and none blocked, killed when this thread dies. Not to be reaped by anybody else.
struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};
/// Costs one vfork: no copy of this process is made, and it waits until the command is executed.
/// An Error's `err` is the errno of the step that failed.
Result<Child> spawn_detached(const Launch& launch);

/// The same as the foreground job of a terminal: a monitor (a fork of this process without its
/// descriptors) leads the session, and the command has a process group of its own in it, so that
/// stopping works (POSIX discards terminal stops of orphaned process groups).
///
/// Over `control` (SEQPACKET, packets of wire.h) the monitor tells STARTED{b=pid}, STOPPED, EXIT,
/// or FAIL{a=errno} when the command could not be executed; it obeys SIGNAL, WINCH and CONT. When
/// `control` closes, it ends the command: HUP, CONT and TERM, and KILL after two seconds.
struct Monitored {
  Child monitor;
  UniqueFd control;
};
/// `slave` becomes the controlling terminal, and the stdio that `launch` leaves at -1.
Result<Monitored> spawn_monitored(const Launch& launch, int slave);

/// A new pty whose slave is set up like the caller's terminal.
struct Pty {
  UniqueFd master, slave;
};
Result<Pty> make_pty(const wire::Terminal& terminal);

}  // namespace dirbox::broker
