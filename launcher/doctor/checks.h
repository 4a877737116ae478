#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "launcher/doctor/diagnose.h"
#include "launcher/doctor/host_state.h"
#include "launcher/doctor/outcome.h"

namespace dirbox::doctor {

/// What becomes of dirbox where a check fails.
enum class Need {
  required,  ///< nothing runs
  waivable,  ///< nothing runs, unless the profile says that it may be missing
  feature,   ///< what `use` names does not work; the rest does
  telling,   ///< tells about the machine, and never fails
};

struct Check {
  std::string_view name, area;
  Need need;
  std::string_view use;        ///< what it is needed for
  std::uint64_t namespaces;    ///< CLONE_NEW* in which the probe runs
  std::string_view builds_on;  ///< the check without which this one cannot run; ""
  Outcome (*probe)(const HostState&);
  Kind kind;  ///< of its causes
};

/// In an order in which each stands behind what it builds on.
std::span<const Check> checks();

}  // namespace dirbox::doctor
