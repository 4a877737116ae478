#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>

#include "launcher/doctor/outcome.h"

namespace dirbox::doctor {

/// Tries `probe` in a child process with the new `namespaces` (CLONE_NEW*), so that nothing it does
/// lasts and nothing that kills it ends this process. With CLONE_NEWUSER the child has the caller's
/// uid and gid mapped to themselves, as the sandbox has, unless `mapped` is false. It is given up
/// after a few seconds.
Outcome run_isolated(std::uint64_t namespaces, const std::function<Outcome()>& probe,
                     bool mapped = true);

/// A child with these new namespaces, made as the launcher makes one; by fork(2) without any.
/// Returns what fork would.
pid_t clone_child(std::uint64_t namespaces);

}  // namespace dirbox::doctor
