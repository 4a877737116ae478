#pragma once
#include <optional>
#include <string>

#include "launcher/base/result.h"
#include "launcher/guard/entry.h"
#include "launcher/log/event.h"
#include "launcher/plan/plan.h"
#include "launcher/sandbox/spec.h"
#include "launcher/supervise/network.h"

/// Runs one Plan: spawns the sandbox, relays the terminal, forwards signals, brings back the
/// status.
namespace dirbox::supervise {

struct Outcome {
  std::vector<log::Event> events;        ///< distinct ones, in order, with their counts
  std::vector<netns::NameCount> counts;  ///< per allowed name
  std::uint64_t dropped = 0;             ///< events that are not in `events`
  std::vector<std::string> changes;      ///< of the rules while it ran
  std::vector<guard::Finding> guarded;   ///< dangerous changes, undone where the plan says so
  std::optional<Error> failure;          ///< of the command itself, which then has no status
  std::vector<std::string> complaints;   ///< what went wrong beside the command
  int status = 125;  ///< for exit(3): the command's, 128+n for a signal, 126/127 where exec failed
};

/// Blocks until the command has ended and everything inside is gone.
/// `state_directory`: where events are logged; empty: nowhere.
/// An Error means that nothing ran (exit status 125).
Result<Outcome> run_sandbox(const plan::Plan& plan, sandbox::RunOptions options,
                            const std::string& state_directory = {});

/// The compiled filter of `plan`, from the user's cache when it is there.
/// `cache_directory` may be empty.
Result<void> prepare_filter(const plan::Plan& plan, const std::string& cache_directory,
                            sandbox::RunOptions& options);

/// Names of all set-up steps, for --test-fail.
std::vector<std::pair<std::string, std::string>> list_steps();

}  // namespace dirbox::supervise
