#pragma once
#include "launcher/plan/host.h"
#include "launcher/plan/plan.h"
#include "launcher/plan/resolver.h"
#include "profiles/profile.h"

namespace dirbox::plan {

/// docker or docker-compose with mode = "filter": the client itself runs inside.
bool is_filtered_docker(const profiles::Excluded& row);
/// Whether there is such a row.
bool filters_docker(const profiles::Profile& profile);

/// The filter's orders, from [docker] and from the rules of `plan`, which are final and sorted; its
/// socket, and the variables by which clients find it. Nothing where the profile does not filter
/// docker. Errors: an entry of docker.binds that the plan does not grant, or that the sandbox could
/// put another file in place of.
Result<void> compile_docker(const profiles::Profile& profile, const HostFacts& facts,
                            Resolver& resolver, Plan& plan);

}  // namespace dirbox::plan
