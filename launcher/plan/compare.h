#pragma once
#include <optional>
#include <string>
#include <vector>

#include "launcher/plan/plan.h"
#include "launcher/plan/resolver.h"
#include "profiles/narrow.h"

/// What a change of a profile comes to. Pure.
namespace dirbox::plan {

/// One thing that is granted otherwise than before.
struct Change {
  profiles::Effect effect = profiles::Effect::widens;  ///< narrows or widens
  std::string text;  ///< "write /home/u/x (before: not visible)", safe for a terminal
  Origin origin;
};

/// Where the user keeps an agent from doing things: its managed and own settings, those in the
/// project, hooks and rules. By name, by the symlinks on the way, and where those lead. `plan`: of
/// the profile alone, whose variables may name other directories.
std::vector<std::string> find_restrictions(Resolver& resolver, const HostFacts& facts,
                                           const Plan& plan);

/// Paths by the compiled plans, the rest by judge_changes(): first what widens. The plans are of
/// the two profiles, for the same facts. Two values that grant the same are no change.
///
/// The access to a path is that of the nearest rule at or above it, so two plans that agree at the
/// paths of all their rules agree everywhere.
///
/// What hides one of the `restrictions`, a part of it or a directory above it, widens: the agent
/// may do more without them.
std::vector<Change> compare_plans(const profiles::Profile& before, const Plan& before_plan,
                                  const profiles::Profile& after, const Plan& after_plan,
                                  const std::vector<std::string>& restrictions = {});

}  // namespace dirbox::plan
