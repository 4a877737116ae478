#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/sandbox/spec.h"

/// Layers left out on purpose, in test builds only: that `dirbox verify` notices must be shown.
namespace dirbox::sandbox {

/// That inherited descriptors are closed is no step: it comes before the first and after the last.
inline constexpr std::string_view kDescriptorsLayer = "descriptors";

/// True when `step` is in the comma-separated RunOptions::test_skip. Never in other builds. No
/// allocation: it is also asked between vfork and exec.
bool is_skipped(const RunOptions& options, std::string_view step);

/// Everything that can be skipped: the set-up steps, and the namespaces that a sandbox can be made
/// without.
std::vector<std::string> list_skippable_steps();

}  // namespace dirbox::sandbox
