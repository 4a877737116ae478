#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/json.h"
#include "launcher/plan/plan.h"

/// Which layers enforce what a sandbox promises. Pure.
namespace dirbox::plan {

/// A promise, and the layers of which each alone enforces it, by their names in events.
struct Enforced {
  std::string_view promise;
  std::vector<std::string_view> layers;   ///< in force; none: nothing enforces it
  std::vector<std::string_view> missing;  ///< left out by the profile or by this machine
};
/// All promises, in the order of the report.
std::vector<Enforced> list_enforced(const Plan& plan);

/// "mount, landlock", "mount (not: landlock)", "nothing (not: netns, proxy)".
std::string describe_layers(const Enforced& enforced);
/// A line for each promise, indented.
std::string render_layers(const Plan& plan);
Json layers_to_json(const Plan& plan);

}  // namespace dirbox::plan
