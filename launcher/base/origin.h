#pragma once
#include <cstdint>
#include <initializer_list>
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
    for (std::uint32_t number : {line, line != 0 ? column : 0}) {
      if (number != 0) out.append(1, ':').append(std::to_string(number));
    }
    return out;
  }
  bool operator==(const Origin&) const = default;
};

}  // namespace dirbox
