#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// The messages between the supervisor and init, over one SEQPACKET pair. Both ends are the same
/// binary and the sandboxed command never holds one, so the form is a plain struct and a text.
namespace dirbox::sandbox {

enum class ControlType : std::uint32_t {
  // init → supervisor
  failed,    ///< set-up failed: a = errno, text = doing \0 operand \0 detail \0 hint; nothing ran
  pty,       ///< + master descriptor of the command's terminal
  listener,  ///< + seccomp user-notification descriptor
  unix_listener,  ///< + descriptor; a = position in Spec::listeners
  writer,         ///< + sockets of the process that writes below Spec::guarded: for what is asked
                  ///< about the command, and about what is attached
  sockets,        ///< + descriptors from the broker hook; a = 1 when more follow
  starter,        ///< + descriptor on which the starter takes requests (starter.h)
  /// a = pid of the command inside: exec succeeded, + Spec::shared_directories; from the starter 0:
  /// it may run
  started,
  exec_failed,  ///< a = errno: nothing ran
  stopped,      ///< a = signal that stopped the command
  frozen,       ///< everything but init is stopped
  exited,       ///< a = wait status of the command; everything else inside is dead
  // supervisor → init
  proceed,         ///< what is done outside meanwhile is done: the command may start
  signal_command,  ///< a = signal for the command alone
  signal_group,    ///< a = signal for its process group
  foreground,   ///< a = 1: its process group continues in the foreground of its terminal; 0: out of
                ///< it;
                ///< answered by the same
  freeze,       ///< stop everything but init; answered by `frozen`
  make_socket,  ///< text = request for the network hook; answered by `sockets` or `refused`
  refused,      ///< init → supervisor: the network hook failed; a and text as in `failed`
};

struct Control {
  ControlType type{};
  std::int32_t a = 0;
  std::string text;
  std::vector<UniqueFd> fds;
};

Result<void> send_control(int socket, ControlType type, std::int32_t a = 0,
                          std::string_view text = {}, const std::vector<int>& fds = {});
/// nullopt-like: `closed` is set when the peer is gone.
struct Received {
  bool closed = false;
  Control control;
};
Result<Received> receive_control(int socket);

/// An Error as the text of `failed`, and back.
std::string encode_error(const Error& error);
Error decode_error(std::int32_t err, std::string_view text);

}  // namespace dirbox::sandbox
