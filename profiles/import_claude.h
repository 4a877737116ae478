#pragma once
#include <functional>
#include <string>

#include "launcher/base/json.h"

/// Claude Code's settings as a profile. Pure.
namespace dirbox::profiles {

/// Why a sandbox would not start with `path` in the list `list` ("filesystem.write"), in one line;
/// "" where it would.
using RefuseGrant = std::function<std::string(const std::string& list, const std::string& path)>;

struct ClaudeSettings {
  std::string name;                 ///< what comments call the file
  std::string base = "${PROJECT}";  ///< what its relative paths begin at, for a profile
  RefuseGrant refuse{};             ///< none: nothing is refused
};

/// TOML that extends "director": a line for each setting of the `sandbox` block and each
/// permissions.deny rule, with a comment that names where it came from; what is stricter or weaker
/// here, and what cannot be expressed, is unknown there or of a wrong type, as comments. The result
/// loads.
std::string import_claude(const Json& settings, const ClaudeSettings& of);

}  // namespace dirbox::profiles
