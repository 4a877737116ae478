#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/base/origin.h"
#include "launcher/broker/policy.h"
#include "netns/spec.h"
#include "seccomp/observed.h"

/// A Profile is what the TOML files say after `extends` and the command line are merged, before
/// anything is resolved against a host. Every value carries its Origin.
namespace dirbox::profiles {

/// A scalar. An Origin without a file means: the built-in default.
template <class T>
struct Setting {
  T value{};
  Origin origin;
};

struct Value {
  std::string key, text;  ///< one value of the key, for people
  Origin origin;
};

/// One element of a list of names: a path, host, variable, syscall…, without the marks ("?" in
/// front, or the table form) that became flags. A path is canonical (text_rules.h): "/…", "~…" or
/// "${X}…".
struct Entry {
  std::string text;
  bool optional = false;  ///< "?x" or {path="x", optional=true}: absent on this host is no error
  bool create = false;  ///< {path=…, create=true}: a missing directory is made on the host, 0700
  bool dangerous =
      false;  ///< {path=…, dangerous=true}: the author accepts what the socket gives away
  Origin origin;
  bool operator==(const Entry&) const = default;
};

/// key = value in a table of free keys (environment.set).
struct Assignment {
  std::string name;
  std::string value;
  Origin origin;
  bool literal = false;  ///< from the command line: ${…} in the value stands for itself
};

enum class HomeMode { private_home, masked, host };
enum class NetworkMode { none, proxy, host };
enum class SwarmState { shared, own };
enum class GuardMode { off, report, quarantine, enforce };

/// [[seccomp.rules]]
struct SyscallRule {
  std::string syscall;            ///< a name or an @group
  std::vector<std::string> when;  ///< argument tests, all of which must hold: "arg1 == 0x5412"
  std::string action;             ///< allow | errno:ENAME | kill | log | notify
  Origin origin;
};

/// [[network.limits]]: bytes of one allowed name, in a session; 0: no limit.
struct NameLimit {
  std::string name;
  std::uint64_t max_upload = 0, max_download = 0;
  std::uint64_t rate = 0;  ///< bytes per second
  Origin origin;
};

/// One rule of [[excluded]], in the form that dirbox-broker(5) describes.
struct ArgvRule {
  std::string text;
  std::string reason;  ///< of a deny rule, for the caller; may be empty
  Origin origin;
};

/// [[excluded]]: a command that does not run inside, or not only.
struct Excluded {
  std::string command;
  broker::Mode mode = broker::Mode::host;
  std::vector<ArgvRule> allow, deny;
  std::vector<std::string> env;       ///< variables that the sandbox may set
  std::vector<std::string> sessions;  ///< of tmux, by patterns: what can be listed and captured
  std::string profile;                ///< of the panes of tmux; "": the one of this run
  std::uint64_t max_concurrent = 0, timeout = 0;  ///< 0: no limit; seconds
  Origin origin;
};

/// [[verify]]
struct VerifyCheck {
  std::string run;       ///< for `sh -c` inside
  bool blocked = false;  ///< expect = "blocked" (non-zero exit) or "ok" (exit 0)
  std::string why;
  Origin origin;
};

struct Profile {
  std::string name;
  std::vector<std::string> chain;  ///< files that were merged, base first, as an Origin names them

  Setting<std::string> description;

  // [filesystem]
  Setting<HomeMode> home;
  std::vector<Entry> read, write, hide, protect;
  std::vector<Entry> copy;     ///< files of which the command gets one of its own
  std::vector<Entry> sync;     ///< such files, which the host gets back
  std::vector<Entry> sockets;  ///< host unix sockets to bind in
  std::vector<Entry> devices;  ///< device nodes beyond the minimal /dev
  Setting<SwarmState> swarm_state;
  Setting<bool> worktrees;   ///< PROJECT-worktrees is writable
  Setting<GuardMode> guard;  ///< changes in writable trees that the host would execute
  Setting<std::uint64_t> tmp_size, shm_size, run_size, home_size;  ///< bytes

  // [environment]
  std::vector<Entry> env_pass;  ///< names or patterns with one trailing '*'
  std::vector<Assignment> env_set;

  // [network]
  Setting<NetworkMode> network_mode;
  std::vector<Entry> net_allow, net_deny, net_upgrade;
  Setting<netns::TlsCheck> net_tls;
  std::vector<Entry> net_tls_ports;
  Setting<bool> net_allow_ech;
  Setting<bool> net_allow_non_tls;
  Setting<std::uint64_t> net_proxy_port;
  Setting<bool> net_proxy_variables;
  std::vector<Entry> host_ports, publish;
  std::vector<NameLimit> net_limits;

  // [seccomp]
  std::vector<Entry> syscalls_allow, syscalls_deny;  ///< names and @groups
  std::vector<SyscallRule> syscall_rules;

  // [process]
  Setting<bool> nested_userns;
  Setting<std::string> hostname;

  // [limits], setrlimit(2); absent: inherited
  Setting<std::optional<std::uint64_t>> limit_nofile, limit_nproc, limit_fsize, limit_as;

  // [docker], for the filter
  std::vector<Entry> docker_sockets;  ///< of engines; none: the usual ones
  std::vector<Entry> docker_binds;    ///< beside what is writable
  std::vector<Entry> docker_networks, docker_images, docker_capabilities;
  Setting<std::uint64_t> docker_memory, docker_shm, docker_pids, docker_containers;
  Setting<std::string> docker_cpus;

  // [log]
  Setting<seccomp::Observe> observe;

  // [require]
  Setting<bool> landlock_optional;  ///< landlock = "optional"

  std::vector<Excluded> excluded;  ///< one per command

  std::vector<VerifyCheck> verify;
};

}  // namespace dirbox::profiles
