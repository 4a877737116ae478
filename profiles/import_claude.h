#pragma once
#include <string>
#include <string_view>

#include "launcher/base/json.h"

/// Claude Code's settings as a profile. Pure.
namespace dirbox::profiles {

/// TOML that extends "director": a line for each setting of the `sandbox` block and each
/// permissions.deny rule, with a comment that names where it came from; what is stricter here, and
/// what cannot be expressed, is unknown there or of a wrong type, as comments. `source` is how
/// comments call the file. The result loads.
std::string import_claude(const Json& settings, std::string_view source);

}  // namespace dirbox::profiles
