#pragma once
#include <vector>

#include "launcher/guard/entry.h"

namespace dirbox::guard {

/// What in a file of swarm's makes the host type, send or execute something, and was not there
/// before. `rule` is one for which is_told() holds, `now` a regular file. Pure but for `follow`.
std::vector<Finding> judge_swarm(const NameRule& rule, const Before& before, const Entry& now,
                                 const Follow& follow);

}  // namespace dirbox::guard
