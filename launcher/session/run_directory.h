#pragma once
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// The directory that a session has while it runs.
namespace dirbox::session {

/// Theory of operation: below $XDG_RUNTIME_DIR/dirbox, or /tmp/dirbox-UID where there is no runtime
/// directory of the caller's own, each session has a directory of its name, and holds an exclusive
/// flock(2) on it. The kernel drops the lock with the process, however it ends; whoever gets the
/// lock of a directory knows that its session is over and removes it. Each start does so for the
/// others. The last session to end removes the root as well.
///
/// Sockets and files that live as long as the session go into it, under a name each; they are
/// removed with it, after SIGKILL too. There are no directories in it. What shall be kept does not
/// belong there. The lock belongs to the open file: a child that does not exec closes
/// `fd()`, or the session seems to live as long as that child.
///
/// The root belongs to the caller, and nobody else may enter it: anything else there is an error,
/// never repaired. Nothing below it is visible inside a sandbox, where /run and /tmp are others.
class RunDirectory {
 public:
  /// Makes the directory of `session` (a single path component), and removes what dead sessions
  /// left behind.
  static Result<RunDirectory> make(const std::string& session);
  RunDirectory(RunDirectory&& other) noexcept = default;
  RunDirectory& operator=(RunDirectory&&) = delete;
  ~RunDirectory();

  /// For openat(2) and the like.
  int fd() const { return directory_.get(); }
  std::string path() const { return root_path_ + "/" + session_; }
  /// A listening SOCK_SEQPACKET socket `name` in it, non-blocking.
  Result<UniqueFd> make_listener(const char* name) const;

 private:
  RunDirectory() = default;
  std::string root_path_, session_;
  UniqueFd root_, directory_;
};

/// The socket of ControlServer in a run directory.
inline constexpr const char* kControlSocket = "control";

/// That of supervise::AttachServer, where commands can be started in the session.
inline constexpr const char* kAttachSocket = "attach";

/// $XDG_RUNTIME_DIR/dirbox, /run/user/UID/dirbox, for root /run/dirbox, or /tmp/dirbox-UID; in a
/// user namespace $XDG_RUNTIME_DIR/dirbox or /tmp/dirbox-UID-NAMESPACE, with its inode number.
std::string run_root();

/// Names of the sessions that run now, sorted. None when nothing ever ran.
Result<std::vector<std::string>> list_sessions();

/// Connects to `name` in the directory of `session`, and checks that its owner is the caller
/// (check_peer). Errors: ENOENT when there is no such session for 0.2 s: it may have just begun.
Result<UniqueFd> connect_session(const std::string& session, const char* name = kControlSocket);

/// That the other end of a connected unix socket is a process of this user in this user namespace,
/// so not one inside a sandbox. Errors: EPERM.
Result<void> check_peer(int socket);

}  // namespace dirbox::session
