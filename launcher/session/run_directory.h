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
/// The root belongs to the caller, and nobody else may enter it: anything else there is an error,
/// never repaired. Nothing below it is visible inside a sandbox, where /run and /tmp are others.
class RunDirectory {
 public:
  /// Makes the directory of `session` (a single path component) with a listening SOCK_SEQPACKET
  /// socket "control" in it, and removes what dead sessions left behind.
  static Result<RunDirectory> make(const std::string& session);
  RunDirectory(RunDirectory&& other) noexcept = default;
  RunDirectory& operator=(RunDirectory&&) = delete;
  ~RunDirectory();

  /// Non-blocking.
  int listener() const { return listener_.get(); }

 private:
  RunDirectory() = default;
  std::string root_path_, session_;
  UniqueFd root_, directory_, listener_;
};

/// $XDG_RUNTIME_DIR/dirbox or /tmp/dirbox-UID.
std::string run_root();

/// Names of the sessions that run now, sorted. None when nothing ever ran.
Result<std::vector<std::string>> list_sessions();

/// Connects to the control socket of `session`, and checks that its owner is the caller
/// (check_peer). Errors: ENOENT when there is no such session.
Result<UniqueFd> connect_session(const std::string& session);

/// That the other end of a connected unix socket is a process of this user in this user namespace,
/// so not one inside a sandbox. Errors: EPERM.
Result<void> check_peer(int socket);

}  // namespace dirbox::session
