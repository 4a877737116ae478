#pragma once
#include <string>
#include <vector>

#include "launcher/base/json.h"
#include "launcher/base/origin.h"
#include "launcher/base/result.h"
#include "launcher/broker/docker/spec.h"
#include "launcher/broker/policy.h"
#include "launcher/guard/spec.h"
#include "launcher/plan/host.h"
#include "launcher/sandbox/spec.h"
#include "launcher/sync/spec.h"
#include "netns/spec.h"
#include "profiles/profile.h"
#include "seccomp/policy.h"

/// The Plan: everything that a run will do, decided, before anything is done. Immutable once
/// compiled; run, show, why and verify only read it.
namespace dirbox::plan {

/// Longest path wins; at equal length the earlier of these wins.
enum class PathAccess { hide, protect, write, read };
std::string_view access_name(PathAccess access);

struct PathRule {
  std::string path;  ///< without symlinks
  std::string text;  ///< as the profile has it
  PathAccess access = PathAccess::read;
  FileType type = FileType::missing;
  Origin origin;
  bool mounted = false;  ///< write: has a mount of its own even within another, so that it stays
  bool copy = false;     ///< read: in a private home the command has a file of its own
};

struct EnvironmentVariable {
  std::string name, value;
  Origin origin;
};

/// Something the user should know: what was granted beyond the profile's words, or left out.
struct Note {
  std::string text;
  Origin origin;
};

/// A command that a shim inside stands for (excluded.h).
struct Excluded {
  broker::Policy policy;
  std::string program;                ///< on the host, absolute, as its PATH finds it
  std::vector<std::string> sessions;  ///< of tmux, see profiles::Excluded
  std::string profile;
  std::string no_panes;  ///< why tmux may open none; empty: it may
  std::string refused;   ///< why every call is refused; empty: the policy decides
};

struct Plan {
  std::string profile;
  std::vector<std::string> chain;
  std::string session;
  std::string home, cwd, project;

  sandbox::Spec spec;
  int landlock_abi = 0;         ///< of this machine
  std::vector<PathRule> rules;  ///< sorted by path, hides of what is missing behind
  std::vector<EnvironmentVariable> environment;
  std::vector<std::string> dropped_variables;  ///< names only
  seccomp::Observe observe = seccomp::Observe::none;
  seccomp::Policy syscalls;
  netns::NetworkSpec network;
  std::vector<profiles::Value> network_values, limit_values;  ///< what is in force, for people
  docker::FilterSpec docker;  ///< in force where spec.listeners has docker::kSocket
  std::vector<Excluded> excluded;
  std::vector<std::string> writable_roots;  ///< of the host; filled where something is excluded
  std::string host_path;                    ///< PATH of host commands
  /// Options of `dirbox run` that give this Plan again in this directory: for tmux panes. The
  /// caller of compile() fills it in.
  std::vector<std::string> again;
  guard::Spec guard;
  sync::Spec sync;
  std::vector<profiles::VerifyCheck> checks;
  /// The user's cache of filters lies in the work tree, whose author or an earlier sandbox may have
  /// put something there: none is taken from it. So with dirbox's state:
  /// guard::Spec::foreign_state.
  bool foreign_cache = false;

  std::vector<std::string> missing_directories;  ///< to be made on the host first ({create = true})
  std::string own_swarm;  ///< the one of them that is the project's ~/.swarm in dirbox's state
  std::vector<Note> notes, warnings;
  std::vector<Note> waivers;  ///< layers that are not in force, and why
};

/// What is to be run. Without argv, a plan to look at; with force_cwd it need not even grant the
/// working directory.
struct Command {
  std::vector<std::string> argv;
  std::vector<netns::NetMap> net_map{};  ///< test seam, see netns/spec.h
  std::string chdir{};  ///< where the command starts, if not in the working directory
  bool force_cwd =
      false;  ///< run even where the working directory is the home, "/", or holds secrets
};

/// Pure. Errors carry the Origin of the entry in their operand, and exit status 125 in the caller,
/// except for a command that is not found (err = ENOENT) or not executable (err = EACCES):
/// `status`.
struct CompileError {
  Error error;
  int status = 125;
};
tl::expected<Plan, CompileError> compile(const profiles::Profile& profile, const HostFacts& facts,
                                         const Command& command);

/// What a profile decides about system calls, by itself. Pure.
Result<seccomp::Policy> compile_syscalls(const profiles::Profile& profile,
                                         seccomp::Observe observe = seccomp::Observe::none,
                                         bool enforce = false);

/// The rule that decides about `path` (absolute, without symlinks); nullptr: no rule, so not
/// visible.
const PathRule* find_rule(const Plan& plan, std::string_view path);

/// For people: aligned sections. For programs: the same as JSON.
std::string render_plan(const Plan& plan, bool color);
Json plan_to_json(const Plan& plan);

}  // namespace dirbox::plan
