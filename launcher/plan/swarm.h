#pragma once
#include <string>

#include "launcher/plan/paths.h"
#include "launcher/plan/plan.h"
#include "launcher/plan/resolver.h"

/// ~/.swarm of a project alone, in place of the host's (filesystem.swarm_state). Pure.
namespace dirbox::plan {

/// A directory name for what dirbox keeps of `project`: its last component and a part of the
/// SHA-256 of its path.
std::string project_key(const std::string& project);

/// Where swarm_state is private and something lets ~/.swarm be written, or protects it: puts the
/// project's own directory there. A missing one becomes one of plan.missing_directories. After
/// compile_tree(). Errors: a home that is not private, a file in the directory's place.
Result<void> compile_swarm(const profiles::Profile& profile, const HostFacts& facts,
                           Resolver& resolver, const RuleSet& rules, Plan& plan);

}  // namespace dirbox::plan
