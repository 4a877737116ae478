#pragma once
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/sandbox/spec.h"

/// Identity, names and limits of the namespaces that init was cloned into.
namespace dirbox::sandbox {

/// Maps the caller's one uid and gid to themselves (user_namespaces(7)); denies setgroups(2).
Result<void> apply_id_map(uid_t uid, gid_t gid);

/// No user namespace can be made inside (user.max_user_namespaces = 0 in the new namespace's set).
Result<void> apply_userns_limit();

Result<void> apply_hostname(const std::string& name);

/// Brings `lo` up in the new network namespace.
Result<void> apply_loopback();

/// No core dumps and the Spec's limits. A limit above the inherited hard limit is an error.
Result<void> apply_limits(const std::vector<Limit>& limits);

}  // namespace dirbox::sandbox
