#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/json.h"
#include "launcher/base/origin.h"
#include "launcher/plan/plan.h"

/// What `dirbox verify` found: promises, each with the results of its probes.
namespace dirbox::verify {

/// In order of gravity, except that `pass` speaks for a promise before the two at the end do.
enum class Verdict {
  fail,     ///< the promise is broken
  not_run,  ///< could not be tested
  waived,   ///< the profile gives it up, at `origin`
  pass,
  absent,  ///< nothing to test here: the control outside fails too
};
std::string_view verdict_name(Verdict verdict);  ///< "FAIL", "NOT RUN", "WAIVED", "PASS", "n/a"

struct Finding {
  std::string subject;  ///< what was tried, escaped for terminals
  Verdict verdict = Verdict::not_run;
  std::string detail;  ///< why, escaped for terminals
  Origin origin;       ///< the profile's line; without a file for what every sandbox promises
};

struct Promise {
  std::string name;    ///< "files.hidden": what --only takes
  std::string text;    ///< "hidden paths cannot be read"
  std::string layers;  ///< what enforces it, as the plan has it
  std::vector<Finding> findings;

  /// The gravest; `absent` only when there is nothing else.
  Verdict verdict() const;
  std::size_t count(Verdict verdict) const;
};

struct Report {
  std::string profile, cwd;
  std::vector<Promise> promises;
  std::vector<plan::Note> waivers;  ///< the plan's
  std::vector<plan::Note> limits;   ///< what cannot be seen from inside

  /// 0 all hold, 1 a promise is broken, 2 something could not be tested.
  int status() const;
  std::size_t count(Verdict verdict) const;
};

/// A table, a line per promise, with the findings that are not passes beneath; all of them with
/// `verbose`.
std::string render_report(const Report& report, bool verbose, bool color);
Json report_to_json(const Report& report);

}  // namespace dirbox::verify
