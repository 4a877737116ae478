#pragma once
#include <string>
#include <vector>

#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/spec.h"

/// Process 1 of the sandbox.
namespace dirbox::sandbox {

/// Runs in the freshly cloned child: builds the sandbox step by step, starts the command, then
/// reaps, forwards signals, and ends with the command. `control` is the only descriptor above 2
/// that survives. Never returns.
[[noreturn]] void run_init(const Spec& spec, const RunOptions& options, UniqueFd control);

struct StepInfo {
  const char* name;
  const char* reason;
};
/// The set-up steps in their order: the names that --test-fail takes.
std::vector<StepInfo> list_init_steps();

}  // namespace dirbox::sandbox
