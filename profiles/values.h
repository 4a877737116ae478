#pragma once
#include <string>
#include <string_view>
#include <type_traits>

#include "launcher/base/result.h"
#include "profiles/schema.h"
#include "profiles/toml_reader.h"

/// Single values of a profile: from a node of the tree to the type that a row of the schema wants.
/// All errors have the operand "file:line:col". Pure.
namespace dirbox::profiles {

/// A position in the file being read, for errors and for Origins.
struct Place {
  const std::string& file;
  std::uint32_t line;
  std::uint32_t column;

  Place at(const Node& node) const { return {file, node.line, node.column}; }
  Origin origin() const { return {file, line, column}; }
  Failure fail(std::string_view detail, std::string_view hint = {}) const {
    return dirbox::fail("read profile", origin().text(), detail, hint);
  }
};

/// `text` escaped and in double quotes.
std::string in_quotes(std::string_view text);

/// "KEY takes WANTED, not …", with the row's example.
Failure fail_type(const Place& place, const Row& row, std::string_view wanted, const Node& got);

Result<std::string> decode_text(const Place& place, const Row& row, const Node& node);
/// The position of the word in row.choices.
Result<std::size_t> decode_choice(const Place& place, const Row& row, const Node& node);
Result<bool> decode_bool(const Place& place, const Row& row, const Node& node);
/// A count or a size, within the row's range.
Result<std::uint64_t> decode_number(const Place& place, const Row& row, const Node& node);

template <class T>
Result<T> decode_scalar(const Place& place, const Row& row, const Node& node) {
  if constexpr (std::is_same_v<T, std::string>) {
    return decode_text(place, row, node);
  } else if constexpr (std::is_same_v<T, bool>) {
    return decode_bool(place, row, node);
  } else if constexpr (std::is_enum_v<T>) {
    return static_cast<T>(TRY(decode_choice(place, row, node)));
  } else {
    return T(TRY(decode_number(place, row, node)));
  }
}

/// A list that is not empty. One that is would read like "none of them" but, as lists append, would
/// change nothing.
Result<const NodeList*> decode_list(const Place& place, const Row& row, const Node& node);

/// One element of a list of Entry. `removal` says whether it is "-x".
Result<Entry> decode_entry(const Place& place, const Row& row, const Node& node, bool& removal);

}  // namespace dirbox::profiles
