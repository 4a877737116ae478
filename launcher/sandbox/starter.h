#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/sandbox/spec.h"

/// Further commands in a running sandbox: `dirbox attach`.
namespace dirbox::sandbox {

/// Theory of operation. Init's own filter lets it start nothing once the command runs, and a
/// process that entered the namespaces from outside would have to repeat each layer, in a place
/// that is hostile by then. So init forks the starter beforehand, after all of its steps: it has
/// the same namespaces, empty capability sets, no_new_privs, limits and Landlock domain as the
/// command, and puts itself under the command's filter. What it starts has all of that by
/// inheritance.
///
/// It takes requests from the supervisor alone, over a socket pair that nobody inside holds: a
/// StartRequest with the connection of the asking `dirbox attach` first among the descriptors, and
/// then what is passed. From then on it talks with that connection, in messages of control.h:
///
///   → client   pty + master, started, then exited; or failed, exec_failed
///   ← client   signal_group; its end hangs up: SIGHUP and SIGCONT to the command's group
///
/// It is not dumpable, like init: nobody inside traces it or opens its descriptors. Whoever kills
/// it ends only this: the supervisor then says that nothing can be attached any more.
struct StartRequest {
  StdioKind stdio[3] = {StdioKind::pass, StdioKind::pass, StdioKind::pass};
  std::optional<termios> modes;  ///< with which the terminal begins
  std::optional<winsize> size;
  std::string term;               ///< TERM; empty: the sandbox's
  std::vector<std::string> argv;  ///< the first is looked for in PATH, inside

  std::size_t passed() const;  ///< how many descriptors come with it
};

/// Bytes of a request at most.
inline constexpr std::size_t kMaxStartRequest = 64 << 10;
/// Commands at a time.
inline constexpr std::size_t kMaxStarted = 32;

std::vector<std::byte> encode_start(const StartRequest& request);
/// Errors: another version's form, no command, a TERM that is none.
Result<StartRequest> parse_start(std::span<const std::byte> bytes);

/// In init, as its last step: forks the starter and sends its socket over `control`.
Result<void> spawn_starter(const Spec& spec, const RunOptions& options, int control);

}  // namespace dirbox::sandbox
