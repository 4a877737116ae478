#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "launcher/base/result.h"

/// JSON behind a strict facade. The parser (nlohmann-json's) is fed through limits that hostile
/// input cannot pass: size, depth, duplicate keys.
namespace dirbox {

class Json;
using JsonArray = std::vector<Json>;
using JsonMember = std::pair<std::string, Json>;
using JsonObject = std::vector<JsonMember>;  // in source order

class Json {
 public:
  Json() : value_(nullptr) {}
  Json(std::nullptr_t) : value_(nullptr) {}
  Json(bool v) : value_(v) {}
  Json(int v) : value_(static_cast<std::int64_t>(v)) {}
  Json(unsigned v) : value_(static_cast<std::int64_t>(v)) {}
  Json(std::int64_t v) : value_(v) {}
  Json(std::uint64_t v) : value_(static_cast<std::int64_t>(v)) {}
  Json(double v) : value_(v) {}
  Json(const char* v) : value_(std::string(v)) {}
  Json(std::string_view v) : value_(std::string(v)) {}
  Json(std::string v) : value_(std::move(v)) {}
  Json(JsonArray v) : value_(std::move(v)) {}
  Json(JsonObject v) : value_(std::move(v)) {}

  struct Limits {
    std::size_t max_bytes = 1 << 20;
    std::size_t max_depth = 64;
    bool ascii_keys_only = false;  ///< refuse keys with bytes outside printable ASCII
    bool exact_keys = false;       ///< keys that differ in case are two
  };
  /// RFC 8259 text, whole: trailing data, invalid UTF-8, keys that are equal when ASCII case is
  /// folded, and integers outside int64 are errors. The error's operand is "line:column" where that
  /// is known.
  static Result<Json> parse(std::string_view text, const Limits& limits);
  static Result<Json> parse(std::string_view text) { return parse(text, Limits{}); }

  /// Compact on one line, or indented by two spaces. Invalid UTF-8 is replaced by U+FFFD.
  std::string dump(bool pretty = false) const;
  /// The same for a terminal: what it would obey or hide is \uNNNN, which parses as the character.
  std::string dump_for_terminal(bool pretty = false) const;

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  const bool* as_bool() const { return std::get_if<bool>(&value_); }
  const std::int64_t* as_int() const { return std::get_if<std::int64_t>(&value_); }
  const double* as_double() const { return std::get_if<double>(&value_); }
  const std::string* as_string() const { return std::get_if<std::string>(&value_); }
  const JsonArray* as_array() const { return std::get_if<JsonArray>(&value_); }
  const JsonObject* as_object() const { return std::get_if<JsonObject>(&value_); }
  JsonArray* as_array() { return std::get_if<JsonArray>(&value_); }
  JsonObject* as_object() { return std::get_if<JsonObject>(&value_); }

  /// Member of an object by exact key; nullptr when absent or when this is not an object.
  const Json* find(std::string_view key) const;
  /// Appends or replaces a member; a null value becomes an object first.
  void set(std::string_view key, Json value);

 private:
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, JsonArray, JsonObject>
      value_;
};

}  // namespace dirbox
