#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "seccomp/rule_text.h"

/// Theory of operation. A policy that observes asks the supervisor about some calls that it permits
/// and some that it denies, by user notification, so that they can be named in a log.
///
/// * A denied call (but one denied with ENOSYS, which programs take for a missing feature) notifies
///   with its errno: the supervisor logs it and answers with that errno. Denials by a rule with an
///   action of its own stay as they are.
/// * A permitted call that names a file to change, or a peer to connect to, notifies with errno 0:
///   the supervisor looks at the names, logs what it expects mounts and Landlock to refuse, and
///   lets the call go on, whatever it saw. Other threads may change the names meanwhile; that can
///   deceive the log, and nothing else: the kernel decides about the call as it would have.
///
/// A clause that observes comes after every clause that denies by arguments, so a policy permits
/// and denies the same calls with and without it.
namespace dirbox::seccomp {

enum class Observe : std::uint8_t {
  none,
  writes,  ///< files that are opened for writing, made, renamed, removed; connections
  reads,   ///< files that are opened or executed as well
};

/// A permitted call that is observed when `test` holds.
struct Observed {
  std::string_view call;
  Observe from;  ///< the first level that observes it
  bool always;   ///< else: when `test` holds
  Test test{};
};
std::span<const Observed> observed_calls();

/// What a policy that enforces asks about as well: every call by which a name, or what a name
/// stands for, is made, changed or removed, and the question whether it could be. What it answers
/// is decided in launcher/supervise/enforcer.h; a call that goes on meets read-only mounts.
struct Enforced {
  std::string_view call;
  bool always;  ///< else: when `test` holds
  Test test{};
};
std::span<const Enforced> enforced_calls();

/// True when a denial with `err` is worth a line of the log.
bool is_denial_observed(int err);

}  // namespace dirbox::seccomp
