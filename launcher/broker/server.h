#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/closer.h"
#include "launcher/base/event_loop.h"
#include "launcher/broker/peer.h"
#include "launcher/broker/pin.h"
#include "launcher/broker/policy.h"

/// Runs the excluded commands of one sandbox on the host.
namespace dirbox::broker {

struct Limits {
  unsigned max_commands = 32;   ///< running, or connected and not yet asking
  unsigned max_terminals = 64;  ///< ptys that somebody inside still holds, also of ended commands
  double requests_per_second = 50;  ///< connections beyond wait in the listen queue
  double request_burst = 200;
  std::chrono::milliseconds handshake{2000};  ///< for the request after connecting
  std::chrono::milliseconds grace{2000};      ///< between TERM and KILL
};

/// The host directory that the sandbox sees at an absolute path; nullopt where it sees another one
/// there, or none.
using CwdMapper = std::function<std::optional<std::string>(std::string_view sandbox_path)>;

/// What a gate answers: the decision, and arguments to use in place of the caller's.
struct Verdict {
  Decision decision;
  std::optional<std::vector<std::string>> arguments;
};
/// Asked for every request, with the arguments after the name and the cwd as the sandbox sees it.
using Gate = std::function<Verdict(std::span<const std::string> arguments, std::string_view cwd)>;

/// One excluded command.
struct Command {
  Policy policy;
  Pinned binary;
  std::vector<std::string> environment;  ///< NAME=VALUE, see compile_host_environment
  Gate gate;                             ///< empty: decide(policy, arguments)
};

struct Event {
  enum class Kind {
    refused,  ///< by the policy, a limit, or a malformed request: `decision.reason`
    failed,   ///< permitted, and could not be executed: `decision.reason`
    started,
    ended,
  };
  Kind kind{};
  std::chrono::system_clock::time_point time;
  std::string command;
  std::vector<std::string> arguments;  ///< as run, or as asked when refused; cut at 4 KiB
  std::string cwd;                     ///< as the sandbox sees it
  pid_t caller = 0;                    ///< host pid of the shim
  pid_t pid = 0;                       ///< host pid of the command
  Decision decision;
  int status = 0;  ///< of wait(2), when ended
  std::chrono::milliseconds duration{0};
};

struct ServerConfig {
  uid_t uid = 0;               ///< whom the callers run as
  NamespaceId user_namespace;  ///< of the sandbox
  CwdMapper map_cwd;
  Limits limits;
  std::function<void(const Event&)> on_event;  ///< may be empty
};

class Session;

/// Theory of operation. Lives in the launcher's event loop. Each command has a listening SEQPACKET
/// socket inside the sandbox, and which socket a connection came by is the only thing that says
/// which command is meant. One connection is one execution:
///
///     accept → peer checked → EXEC within 2 s → gate → stdio, cwd checked → run → EXIT, close
///
/// The connection closing early ends the command's process group: HUP, CONT, TERM, KILL after
/// `grace`. A message that is malformed at any time ends it the same way. Nothing is retried, and
/// whatever is refused is answered with FAIL and a sentence.
///
/// Descriptors from inside are never read, written or waited for here; they are looked at with
/// AT_STATX_DONT_SYNC, so that a file system of the sandbox's own cannot make the launcher wait,
/// and closed by a thread of their own. (Those of a command's stdio are closed before its exec too,
/// for which the launcher waits, and FUSE is told of that: a sandbox that may mount FUSE can stall
/// its own launcher.)
///
/// The owner neither ignores SIGCHLD nor reaps with waitpid(-1), and calls on_child_stopped() when
/// SIGCHLD arrives, so that a command that is stopped by others than its caller stops its shim,
/// too.
class Server {
 public:
  Server(EventLoop& loop, ServerConfig config);
  /// Kills what still runs, and reaps it.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Serves `command` on a listening socket (see make_listener).
  Result<void> add(UniqueFd listener, Command command);
  void on_child_stopped();
  /// Stops listening and begins to end every command. idle() tells when that is done.
  void close();
  bool idle() const { return sessions_.empty(); }

 private:
  friend class Session;
  struct Listener {
    UniqueFd fd;
    Command command;
    unsigned running = 0;
  };
  Result<void> watch(Listener& listener);
  void accept(Listener& listener);
  bool take_token();
  void pause(std::chrono::milliseconds wait);
  bool may_open_terminal();
  void remember_terminal(int slave);
  void end_connection(UniqueFd socket);
  void forget(Session& session);

  EventLoop& loop_;
  ServerConfig config_;
  Closer closer_;  ///< of all that comes from inside, the connections included
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::map<Session*, std::shared_ptr<Session>> sessions_;
  std::vector<UniqueFd> terminals_;  ///< O_PATH, of slaves whose master went inside
  double tokens_;
  EventLoop::Clock::time_point refilled_;
  std::optional<EventLoop::TimerId> resume_;
};

/// A listening SEQPACKET socket bound at `path` in the mount namespace of the caller, mode 0600.
Result<UniqueFd> make_listener(const std::string& path);

}  // namespace dirbox::broker
