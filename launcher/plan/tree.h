#pragma once
#include <string>

#include "launcher/plan/paths.h"
#include "launcher/plan/plan.h"
#include "profiles/profile.h"

/// From PathRules to the file tree inside and the Landlock rules over it.
namespace dirbox::plan {

/// Fills `plan.spec.mounts` and `plan.spec.landlock_rules`.
///
/// Theory of operation: rules come sorted, parents first. Each one is compared with what covers its
/// path by then. A grant becomes a bind mount where the cover is weaker; a hidden path becomes
/// nothing where nothing covers it: it is absent, not masked. A read-only grant with hidden paths
/// beneath is not bound whole: its directory is made anew and every child that is not hidden is
/// bound by itself, so that the hidden names are absent, those that the host creates later as well.
/// Only beneath a writable grant is a hidden path masked, because files must be able to appear
/// there.
Result<void> compile_tree(const profiles::Profile& profile, const HostFacts& facts,
                          Resolver& resolver, const RuleSet& rules, Plan& plan);

}  // namespace dirbox::plan
