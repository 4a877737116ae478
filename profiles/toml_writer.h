#pragma once
#include <string>
#include <string_view>

namespace dirbox::profiles {

/// A basic string of TOML that holds `text`, which is UTF-8.
std::string toml_string(std::string_view text);

}  // namespace dirbox::profiles
