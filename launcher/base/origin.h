#pragma once
#include <cstdint>
#include <string>

namespace dirbox {

/// Where a value came from: a TOML file and position, or a command-line flag (line 0).
/// Every value of a Profile and of a Plan carries one, so that a denial can name its rule.
struct Origin {
  std::string file;  ///< path as the user would write it; "director.toml" for an embedded one
  std::uint32_t line = 0;
  std::uint32_t column = 0;

  /// "file:line:col"; "file:line" when the column is 0; "file" alone when the line is 0.
  std::string text() const {
    std::string out = file;
    if (line != 0) out += ":" + std::to_string(line);
    if (line != 0 && column != 0) out += ":" + std::to_string(column);
    return out;
  }
  bool operator==(const Origin&) const = default;
};

}  // namespace dirbox
