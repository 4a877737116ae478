#include "launcher/base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "launcher/base/text.h"

namespace dirbox {
namespace {

std::string fold_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// Builds our value from nlohmann's SAX events and stops at the first event that breaks a limit.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(const Json::Limits& limits) : limits_(limits) {}

  bool null() override { return put(Json()); }
  bool boolean(bool v) override { return put(Json(v)); }
  bool number_integer(number_integer_t v) override {
    return put(Json(static_cast<std::int64_t>(v)));
  }
  bool number_unsigned(number_unsigned_t v) override {
    if (v > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return refuse("integer out of range");
    }
    return put(Json(static_cast<std::int64_t>(v)));
  }
  bool number_float(number_float_t v, const string_t& text) override {
    if (text.find_first_of(".eE") == std::string::npos) return refuse("integer out of range");
    return put(Json(v));
  }
  bool string(string_t& v) override { return put(Json(std::move(v))); }
  bool binary(binary_t&) override { return refuse("binary value"); }
  bool start_object(std::size_t) override { return open(Json(JsonObject{})); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Json(JsonArray{})); }
  bool end_array() override { return close(); }
  bool key(string_t& v) override {
    if (limits_.ascii_keys_only &&
        std::any_of(v.begin(), v.end(), [](char c) { return c < 0x20 || c > 0x7e; })) {
      return refuse("key outside printable ASCII");
    }
    if (!frames_.back().keys.insert(limits_.exact_keys ? v : fold_ascii(v)).second)
      return refuse("duplicate key");
    frames_.back().key = std::move(v);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& e) override {
    if (!error_.empty()) return false;
    // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error …"
    std::string_view what = e.what();
    unsigned long line = 0, column = 0;
    int length = 0;
    if (const auto end = what.find("] "); end != what.npos) what.remove_prefix(end + 2);
    if (std::sscanf(what.data(), "parse error at line %lu, column %lu: %n", &line, &column,
                    &length) == 2 &&
        length != 0) {
      where_ = fmt::format("{}:{}", line, column);
      error_ = what.substr(static_cast<std::size_t>(length));
    } else {
      error_ = fmt::format("byte {}: {}", position, what);
    }
    return false;
  }

  Json take() { return std::move(root_); }
  const std::string& error() const { return error_; }
  const std::string& where() const { return where_; }

 private:
  struct Frame {
    Json value;
    std::string key;
    std::set<std::string> keys;
  };
  bool refuse(std::string_view why) {
    error_ = why;
    return false;
  }
  bool put(Json value) {
    if (frames_.empty()) {
      root_ = std::move(value);
    } else if (JsonArray* array = frames_.back().value.as_array()) {
      array->push_back(std::move(value));
    } else {
      frames_.back().value.as_object()->emplace_back(std::move(frames_.back().key),
                                                     std::move(value));
    }
    return true;
  }
  bool open(Json value) {
    if (frames_.size() >= limits_.max_depth) return refuse("nested too deeply");
    frames_.push_back({std::move(value), {}, {}});
    return true;
  }
  bool close() {
    Json value = std::move(frames_.back().value);
    frames_.pop_back();
    return put(std::move(value));
  }

  const Json::Limits& limits_;
  std::vector<Frame> frames_;
  Json root_;
  std::string error_, where_;
};

/// Depth is bounded by whoever built the value: parse() by its limit, our own code by its shape.
nlohmann::ordered_json to_library(const Json& json) {
  if (auto* v = json.as_bool()) return *v;
  if (auto* v = json.as_int()) return *v;
  if (auto* v = json.as_double()) return *v;
  if (auto* v = json.as_string()) return *v;
  if (auto* array = json.as_array()) {
    auto out = nlohmann::ordered_json::array();
    for (const Json& item : *array) out.push_back(to_library(item));
    return out;
  }
  if (auto* object = json.as_object()) {
    // Its members are a vector; its own way of adding one looks through all of them.
    nlohmann::ordered_json::object_t members;
    members.reserve(object->size());
    for (const auto& [key, value] : *object) members.push_back({key, to_library(value)});
    return members;
  }
  return nullptr;
}

}  // namespace

Result<Json> Json::parse(std::string_view text, const Limits& limits) {
  if (text.size() > limits.max_bytes) {
    return fail("parse JSON", "", fmt::format("larger than {} bytes", limits.max_bytes));
  }
  // The library ends the text at a NUL and passes over a byte order mark; other readers do not.
  if (text.find('\0') != text.npos || text.starts_with("\xef\xbb\xbf"))
    return fail("parse JSON", "", "a NUL or a byte order mark");
  Builder builder(limits);
  try {
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder) ||
        !builder.error().empty()) {
      return fail("parse JSON", builder.where(),
                  builder.error().empty() ? "malformed" : builder.error());
    }
  } catch (const std::exception& e) {
    return fail("parse JSON", "", e.what());
  }
  return builder.take();
}

std::string Json::dump(bool pretty) const {
  return to_library(*this).dump(pretty ? 2 : -1, ' ', false,
                                nlohmann::ordered_json::error_handler_t::replace);
}

std::string Json::dump_for_terminal(bool pretty) const {
  return escape_json_for_terminal(dump(pretty));
}

const Json* Json::find(std::string_view key) const {
  const JsonObject* object = as_object();
  if (object == nullptr) return nullptr;
  for (const auto& [name, value] : *object) {
    if (name == key) return &value;
  }
  return nullptr;
}

void Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = JsonObject{};
  JsonObject* object = as_object();
  if (object == nullptr) return;
  for (auto& [name, old] : *object) {
    if (name == key) {
      old = std::move(value);
      return;
    }
  }
  object->emplace_back(std::string(key), std::move(value));
}

}  // namespace dirbox
