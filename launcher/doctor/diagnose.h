#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/doctor/host_state.h"
#include "launcher/doctor/outcome.h"

/// From a refusal to its cause and the fix. Pure: the same outcome on the same host has the same
/// answer.
namespace dirbox::doctor {

struct Diagnosis {
  std::string cause, fix;
  std::vector<std::string> commands;  ///< for a shell; what is more than the fix says in words
};

/// What a check is about, as far as causes go.
enum class Kind {
  user_namespace,  ///< making one
  id_map,          ///< mapping ids in it: the first thing that needs a capability there
  other_namespace,
  capability,  ///< anything else that needs a capability in the new user namespace
  proc_mount,
  overlay,
  landlock,
  seccomp,
  process_memory,
  proc,  ///< /proc itself
  kernel,
  plain,  ///< a system call that anyone may make
  cgroup,
  docker,
  podman,
  tmux,
  resolver,
};

Diagnosis diagnose(Kind kind, const Outcome& outcome, const HostState& state);

}  // namespace dirbox::doctor
