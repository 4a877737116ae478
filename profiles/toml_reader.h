#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "launcher/base/result.h"

/// TOML text to a plain tree with positions: the one door to toml++. What the keys mean is
/// decode.h's.
namespace dirbox::profiles {

struct Node;
struct NodeMember;
using NodeList = std::vector<Node>;
using NodeTable = std::vector<NodeMember>;  ///< in source order, keys are unique

/// A TOML value where it stands in its file. Lines and columns count from 1; columns count code
/// points. std::monostate is a date or a time, which no key of a profile takes.
struct Node {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::variant<std::monostate, bool, std::int64_t, double, std::string, NodeList, NodeTable> value;
};

struct NodeMember {
  std::string key;
  std::uint32_t line = 0;  ///< of the key
  std::uint32_t column = 0;
  Node value;
};

/// "a string", "an integer"…, for messages.
std::string_view type_name(const Node& node);

/// Larger texts are refused before they are parsed.
inline constexpr std::size_t kMaxProfileBytes = 256 * 1024;

/// Parses TOML 1.0. `file` is how errors name the text: their operand is "file:line:col".
/// Errors: bad syntax, bad UTF-8, a key twice, too large, nested deeper than a profile can be.
Result<NodeTable> parse_toml(std::string_view text, std::string_view file);

}  // namespace dirbox::profiles
