#pragma once
#include "launcher/plan/plan.h"

namespace dirbox::plan {

/// Fills `plan.network`. Errors: rules that do not parse or contradict each other, with their
/// Origin.
Result<void> compile_network(const profiles::Profile& profile, const HostFacts& facts,
                             const Command& command, Plan& plan);

}  // namespace dirbox::plan
