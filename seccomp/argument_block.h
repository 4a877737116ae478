#pragma once
#include <linux/filter.h>

#include <span>
#include <vector>

#include "launcher/base/result.h"
#include "seccomp/policy.h"

namespace dirbox::seccomp {

/// What SECCOMP_RET_DATA and the action of a return are for `action`.
std::uint32_t return_value(Action action);

/// BPF that decides one call by its ordered clauses; the last has no tests. Every path returns.
/// Errors: a clause longer than a conditional jump reaches (255 instructions).
Result<std::vector<sock_filter>> compile_block(std::span<const Clause> clauses);

}  // namespace dirbox::seccomp
