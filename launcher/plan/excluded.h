#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "launcher/plan/plan.h"
#include "launcher/plan/resolver.h"

/// Excluded commands in a Plan ([[excluded]], --exclude). Pure.
namespace dirbox::plan {

/// Where the sandbox has the shims: first in its PATH, in its read-only root.
inline constexpr std::string_view kShimDirectory = "/.dirbox/bin";

/// Fills plan.excluded, plan.writable_roots and plan.host_path; adds the shims to the mounts, their
/// directory to PATH and, where the command to run is an excluded one, takes its shim. After
/// compile_tree().
///
/// A shim is bound over every file that PATH (inside, on the host, or the usual one) finds under
/// the command's name, where the file itself bears that name: a program that answers to many names
/// (busybox) stays what it is.
/// Errors: a command of --exclude that the host does not have.
Result<void> compile_excluded(const profiles::Profile& profile, const HostFacts& facts,
                              Resolver& resolver, Plan& plan);

/// The host directory that `plan` shows at `path` (absolute): nullopt where the sandbox has one of
/// its own there, or none.
std::optional<std::string> map_to_host(const Plan& plan, std::string_view path);

/// The policy's decision on the `arguments` (after the command's name), the grammar's included.
broker::Decision decide_excluded(const Excluded& excluded, std::span<const std::string> arguments);

/// What happens when a program inside executes `argv`.
struct ExecAnswer {
  enum class Verdict {
    inside,   ///< not excluded: it runs inside, under the sandbox's own rules
    host,     ///< it runs on the host
    refused,  ///< the policy refuses it
  };
  Verdict verdict = Verdict::inside;
  broker::Decision decision;  ///< the rule and its place
  std::string text;           ///< a sentence for people
};
/// `argv` begins with the command, by name or by path.
ExecAnswer explain_exec(const Plan& plan, std::span<const std::string> argv);

}  // namespace dirbox::plan
