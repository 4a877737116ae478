#include "profiles/toml_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"

// The deepest profile value is a string in a list in a table of a list: [[seccomp.rules]] when =
// ["…"].
#define TOML_MAX_NESTED_VALUES 8
#define TOML_ENABLE_FORMATTERS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace dirbox::profiles {
namespace {

constexpr int kMaxDotsInKey = 16;

Failure fail_syntax(std::string_view file, std::uint32_t line, std::uint32_t column,
                    std::string_view detail) {
  return fail("read profile", fmt::format("{}:{}:{}", file, line, column), detail);
}

/// toml++ bounds the depth of values but not that of dotted keys ("[a.a.a…]"), and frees what it
/// built by recursion, so a long key would end the stack. Counts dots between the characters that
/// can delimit a key, which also counts some that are in strings and comments: hence the slack.
Result<void> check_key_depth(std::string_view text, std::string_view file) {
  std::uint32_t line = 1;
  int dots = 0;
  for (char c : text) {
    if (c == '\n') ++line;
    if (c == '\n' || c == '=' || c == ',' || c == '{' || c == '[' || c == '"' || c == '#') dots = 0;
    if (c == '.' && ++dots > kMaxDotsInKey) {
      return fail_syntax(file, line, 1, "a key with more than 16 parts");
    }
  }
  return {};
}

Node convert(const toml::node& from);

NodeTable convert_table(const toml::table& from) {
  NodeTable out;
  out.reserve(from.size());
  for (const auto& [key, value] : from) {
    const toml::source_position& at = key.source().begin;
    out.push_back({std::string(key.str()), at.line, at.column, convert(value)});
  }
  // toml++ sorts by name. Implicit tables ([a.b] makes a) carry the position of what made them.
  std::stable_sort(out.begin(), out.end(), [](const NodeMember& a, const NodeMember& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  return out;
}

Node convert(const toml::node& from) {
  Node out{from.source().begin.line, from.source().begin.column, {}};
  if (const auto* string = from.as_string()) {
    out.value = string->get();
  } else if (const auto* integer = from.as_integer()) {
    out.value = integer->get();
  } else if (const auto* boolean = from.as_boolean()) {
    out.value = boolean->get();
  } else if (const auto* number = from.as_floating_point()) {
    out.value = number->get();
  } else if (const auto* array = from.as_array()) {
    NodeList list;
    list.reserve(array->size());
    for (const toml::node& item : *array) list.push_back(convert(item));
    out.value = std::move(list);
  } else if (const auto* table = from.as_table()) {
    out.value = convert_table(*table);
  }
  return out;
}

}  // namespace

std::string_view type_name(const Node& node) {
  constexpr std::string_view kNames[] = {"a date or time", "a boolean", "an integer", "a float",
                                         "a string",       "a list",    "a table"};
  return kNames[node.value.index()];
}

Result<NodeTable> parse_toml(std::string_view text, std::string_view file) {
  if (text.size() > kMaxProfileBytes) {
    return fail("read profile", file, fmt::format("larger than {}", format_size(kMaxProfileBytes)));
  }
  TRY_VOID(check_key_depth(text, file));
  try {
    return convert_table(toml::parse(text));
  } catch (const toml::parse_error& e) {
    const toml::source_position& at = e.source().begin;
    return fail_syntax(file, at.line, at.column, escape_for_terminal(e.description()));
  } catch (const std::exception& e) {
    return fail("read profile", file, escape_for_terminal(e.what()));
  }
}

}  // namespace dirbox::profiles
