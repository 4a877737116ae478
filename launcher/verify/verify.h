#pragma once
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/plan/plan.h"
#include "launcher/sandbox/spec.h"
#include "launcher/verify/report.h"

/// Attacks the sandbox of a Plan.
///
/// Theory of operation: what is promised follows from the Plan and from what every sandbox holds.
/// A promise is a row of a table with a function that makes probes (probe.h). A probe runs inside,
/// in one launch of the real sandbox, and where that can be done without harm outside as well, as
/// the control: a refusal inside says something only where the same attempt succeeds outside. After
/// an attempt to change something, the host is looked at. What a profile grants on purpose is
/// `waived`, with its line; what could not run is `not_run`, never passed. A profile of the user's
/// that gives up more than the built-in ones do breaks the promise, unless the user accepts that.
namespace dirbox::verify {

/// The variable that the caller must have in its own initial environment, with a value that occurs
/// nowhere else: it must not be seen inside.
inline constexpr const char* kCanaryVariable = "DIRBOX_VERIFY_CANARY";

struct Options {
  std::vector<std::string> only;      ///< promises, or the parts of names before the dot; none: all
  std::vector<std::string> accepted;  ///< promises and areas that the profile may give up
  std::string sabotage;         ///< layers to leave out, with commas (sabotage.h; test builds)
  sandbox::RunOptions sandbox;  ///< with the filter
};

/// Names of all promises, in their order.
std::vector<std::string> list_promises();

/// Errors: unknown names in `options`; no canary could be made. A sandbox that does not start is no
/// error but makes every promise not_run.
Result<Report> run_verify(const plan::Plan& plan, Options options);

/// 16 random hexadecimal digits.
std::string make_token();

}  // namespace dirbox::verify
