#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/plan/places.h"
#include "launcher/plan/plan.h"

/// Why something is permitted or refused, from the compiled Plan alone. Pure. `dirbox why`, the
/// observer of a running sandbox and the policy that is shown inside ask here.
namespace dirbox::plan {

struct Answer {
  bool allowed = false;
  std::string subject;  ///< what was decided about: a path without symlinks, host:port…
  std::string rule;     ///< the entry, as the profile has it; empty: no entry decided
  std::string origin;   ///< where it stands
  std::string layer;    ///< "mount", "proxy", … as events name them
  std::string cause;    ///< a stable word: "hidden", "absent", "read-only", "no-rule"…
  std::string detail;   ///< a sentence without a full stop
  std::string cure;     ///< options of `dirbox run` that would allow it
  std::string toml;     ///< the same as a line of a profile
  std::string never;    ///< why nothing would
};

/// How what `rule` hides could come in, for a path that equals the rule's: a grant would not do.
std::string describe_drop(const PathRule& rule);

/// What is wanted of a path. `connect`: it is a unix socket.
enum class Want { read, write, exec, connect };

/// The file tree inside as a Plan makes it, for questions about many paths. Borrows the Plan.
class TreeView {
 public:
  explicit TreeView(const Plan& plan);

  /// What a cure would grant: the path itself or, where that has to be made, its directory.
  struct Grant {
    std::string path;
    FileType type = FileType::missing;  ///< on the host
  };
  /// Decides about `path`: absolute, without symlinks, named as inside. A file's own mode is not
  /// looked at. `from_host`: what is meant is the host's file, which a private directory does not
  /// show.
  Answer explain(std::string_view path, Want want, const Grant& grant, bool from_host) const;

  /// The decision alone, without a text.
  bool allows(std::string_view path, Want want) const;

  /// The private directory that `path` lies in, such as the home; empty when there is none. What it
  /// holds is not known from the Plan.
  std::string_view private_directory(std::string_view path) const;
  /// Whether the sandbox is set up with something at `path` or beneath it.
  bool is_made(std::string_view path) const;
  /// True when `path` lies in a private directory, in one that is not there at the start.
  bool lacks_parent(std::string_view path) const;
  /// Whether what is at `path` inside, if anything, is the host's.
  bool is_of_host(std::string_view path) const;

 private:
  struct Place {
    const sandbox::Mount* mount = nullptr;  ///< nullptr: the root directory itself
    bool read_only = false;                 ///< made so afterwards
  };
  Place find(std::string_view path) const;
  Answer refuse(std::string_view path, Want want, const Place& place) const;
  void add_cure(Answer& answer, Want want, const Grant& grant) const;

  const Plan& plan_;
  OwnPlaces own_;
  std::vector<std::pair<std::string_view, const sandbox::Mount*>> targets_;  // sorted
};

/// "host", "host:port", an address; without a port: any that a rule allows. Errors: no host.
Result<Answer> explain_connect(const Plan& plan, const std::string& text);

/// A call by name, with up to six arguments as numbers; without arguments: as the call is decided
/// whatever they are, with the exceptions in `detail`. Errors: no such call, not a number.
Result<Answer> explain_syscall(const Plan& plan, const std::vector<std::string>& words);

/// An environment variable.
Answer explain_variable(const Plan& plan, const std::string& name);

/// What a denial by `source` would take, for a call with the name `call`.
void add_syscall_cure(Answer& answer, const seccomp::Source& source, std::string_view call);

}  // namespace dirbox::plan
