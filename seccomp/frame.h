#pragma once
#include <linux/filter.h>

#include <optional>
#include <span>
#include <vector>

#include "launcher/base/result.h"
#include "seccomp/groups.h"

namespace dirbox::seccomp {

/// A shorter program with the answers of `program`, which looks at the architecture and the number
/// only: a binary search over the intervals of numbers with one answer. Shorter than
/// libseccomp's tree over single numbers, which the kernel translates at every start
/// (man/decisions/0008). The number `first` is looked for before all others. Errors: a
/// program that reads arguments, or that the kernel would not take.
Result<std::vector<sock_filter>> pack_frame(std::span<const sock_filter> program, Arch arch,
                                            std::optional<std::uint32_t> first);

}  // namespace dirbox::seccomp
