#include "launcher/broker/docker/rebuild.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"
#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

bool is_texts(const Json& value) {
  const JsonArray* list = value.as_array();
  return list != nullptr &&
         std::all_of(list->begin(), list->end(), [](const Json& item) { return item.as_string(); });
}

bool is_text_map(const Json& value) {
  const JsonObject* map = value.as_object();
  return map != nullptr && std::all_of(map->begin(), map->end(), [](const JsonMember& member) {
           return member.second.as_string() || member.second.is_null();
         });
}

bool is_key_map(const Json& value) {
  const JsonObject* map = value.as_object();
  return map != nullptr && std::all_of(map->begin(), map->end(), [](const JsonMember& member) {
           return is_nothing(member.second);
         });
}

bool has_shape(const Json& value, Shape shape) {
  switch (shape) {
    case Shape::text:
      return value.as_string() != nullptr;
    case Shape::flag:
      return value.as_bool() != nullptr;
    case Shape::count:
      return value.as_int() != nullptr && *value.as_int() >= 0;
    case Shape::integer:
      return value.as_int() != nullptr;
    case Shape::texts:
      return is_texts(value);
    case Shape::text_or_list:
      return value.as_string() != nullptr || is_texts(value);
    case Shape::text_map:
      return is_text_map(value);
    case Shape::key_map:
      return is_key_map(value);
    default:
      return true;
  }
}

Result<void> take(const Field& field, const Json& value, BodyContext& context,
                  std::string_view where, Json& out) {
  auto refused = [&] {
    return refuse(fmt::format("{}{} is refused", where, field.key), field.hint);
  };
  switch (field.shape) {
    case Shape::dropped:
      return {};
    case Shape::nothing:
      return is_nothing(value) ? Result<void>() : refused();
    case Shape::null_only:
      return value.is_null() ? Result<void>() : refused();
    case Shape::rule:
      return field.rule(value, context, out);
    default:
      if (value.is_null()) return {};
      if (!has_shape(value, field.shape))
        return refuse_form(fmt::format("{}{} has another type", where, field.key));
      out.set(field.key, value);
      return {};
  }
}

}  // namespace

bool is_nothing(const Json& value) {
  if (const bool* flag = value.as_bool()) return !*flag;
  if (const std::int64_t* number = value.as_int()) return *number == 0;
  if (const double* number = value.as_double()) return *number == 0;
  if (const std::string* text = value.as_string()) return text->empty();
  if (const JsonArray* list = value.as_array()) return list->empty();
  if (const JsonObject* map = value.as_object()) return map->empty();
  return true;
}

std::string text_at(const Json& value, std::string_view key) {
  const Json* member = value.find(key);
  const std::string* text = member != nullptr ? member->as_string() : nullptr;
  return text != nullptr ? *text : std::string();
}

bool flag_at(const Json& value, std::string_view key) {
  const Json* member = value.find(key);
  const bool* flag = member != nullptr ? member->as_bool() : nullptr;
  return flag != nullptr && *flag;
}

std::int64_t integer_at(const Json& value, std::string_view key) {
  const Json* member = value.find(key);
  const std::int64_t* number = member != nullptr ? member->as_int() : nullptr;
  return number != nullptr ? *number : 0;
}

Result<Json> rebuild(const Json& body, std::span<const Field> fields, BodyContext& context,
                     std::string_view where) {
  const JsonObject* object = body.as_object();
  if (object == nullptr) {
    if (body.is_null()) return Json(JsonObject{});
    return refuse_form(fmt::format("{} is no object", where.empty() ? "the body" : where));
  }
  Json out = JsonObject{};
  for (const auto& [key, value] : *object) {
    auto field = std::find_if(fields.begin(), fields.end(),
                              [&name = key](const Field& f) { return f.key == name; });
    if (field != fields.end()) {
      TRY_VOID(take(*field, value, context, where, out));
    } else if (!is_nothing(value)) {
      return refuse(fmt::format("{}{} is not a field that is let through", where,
                                escape_for_terminal(key.substr(0, 64))));
    }
  }
  return out;
}

Result<Json> parse_body(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return Json(JsonObject{});
  Json::Limits limits;
  limits.max_depth = 16;
  limits.ascii_keys_only = true;
  auto parsed = Json::parse(text, limits);
  if (!parsed) return refuse_form("the body: " + parsed.error().detail);
  if (parsed->is_null()) return Json(JsonObject{});
  if (parsed->as_object() == nullptr) return refuse_form("the body is no JSON object");
  return std::move(*parsed);
}

}  // namespace dirbox::docker
