#pragma once
#include <string>
#include <vector>

#include "launcher/base/json.h"
#include "launcher/doctor/checks.h"

/// `dirbox doctor`: whether this machine can enforce every layer, and if not, why, and what to do.
///
/// Theory of operation: each row of the table of checks is tried in a child of its own. A row that
/// builds on a failed one is not tried. From the failing call, its errno and the host's settings
/// follow the cause and the fix. Nothing here needs a profile, a home directory, or /proc.
namespace dirbox::doctor {

struct Finding {
  const Check* check = nullptr;
  Outcome outcome;
  Diagnosis diagnosis;  ///< of a failed one

  /// Nothing is missing: it works, or nothing needs it.
  bool holds() const;
};

struct Report {
  HostState state;
  std::vector<Finding> findings;

  /// 0 every layer can be enforced, 1 something that is required fails.
  int status() const;
};

/// Tries every check, or those whose name or area is in `only`, with those that they build on.
Report run_doctor(const HostState& state, const std::vector<std::string>& only = {});

/// A line for each check, with cause and fix beneath those that fail. `verbose`: with what each is
/// needed for.
std::string render_report(const Report& report, bool verbose, bool color);
Json report_to_json(const Report& report);
/// A script for sh(1): the commands of every failed check, once each, with its cause as a comment.
std::string render_fixes(const Report& report);

}  // namespace dirbox::doctor
