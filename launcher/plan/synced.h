#pragma once
#include "launcher/plan/paths.h"
#include "launcher/plan/plan.h"

/// Files of a private home that are brought back to the host (launcher/sync).
namespace dirbox::plan {

/// Of the files that `plan.sync` has so far keeps those that lie in a file system of the sandbox,
/// and puts them and their directories into the tree. Others are the host's own, if anything.
void place_synced(const RuleSet& rules, Plan& plan);

}  // namespace dirbox::plan
