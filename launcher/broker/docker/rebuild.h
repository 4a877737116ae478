#pragma once
#include <span>
#include <string>
#include <string_view>

#include "launcher/base/json.h"
#include "launcher/base/result.h"
#include "launcher/broker/docker/spec.h"

/// Request bodies are not checked and passed on but written afresh, from the fields of a table.
///
/// Go's decoder takes keys in any case, folds Unicode ("HoſtConfig"), lets the last duplicate win
/// and merges nested ones. Here a key counts only as the API writes it; any other one may be there
/// with a value that means nothing (null, false, 0, "", [], {}) and is left out.
namespace dirbox::docker {

/// Kinds of engines differ in what they can be told.
struct EngineFacts {
  bool rootless = false;  ///< root in a container is the user, not root
  bool podman = false;
  /// Its kernel lets it limit containers. Not so with cgroups of version 1 and without root, where
  /// podman leaves limits of containers out and fails at those of builds.
  bool limits = true;
  /// Of its machine, in units of 10^-9: it refuses a container with more. 0: not known.
  std::uint64_t cpus = 0;
};

/// What a rule may look at, and what it finds out for the rules after it.
struct BodyContext {
  const FilterSpec& spec;
  const EngineFacts& engine;
  std::string network_mode{};  ///< after the rebuild
  JsonObject masks{};          ///< for HostConfig.Tmpfs
  JsonArray binds{};           ///< for HostConfig.Binds
};

enum class Shape {
  nothing,    ///< null, false, 0, "", [], {}; left out
  null_only,  ///< left out
  text,       ///< a string
  flag,       ///< a boolean
  count,      ///< an integer ≥ 0
  integer,    ///< any
  texts,      ///< a list of strings, or null
  text_or_list,
  text_map,  ///< values are strings or null
  key_map,   ///< {"80/tcp": {}}: keys without values
  dropped,   ///< whatever it is, it is left out
  rule,      ///< as the function says
};

/// Sets nothing in `out` to leave the field out.
using Rule = Result<void> (*)(const Json& value, BodyContext& context, Json& out);

struct Field {
  std::string_view key;
  Shape shape = Shape::nothing;
  Rule rule = nullptr;
  std::string_view hint = {};  ///< of a refusal
};

/// EPERM for fields that are not in the table, EBADMSG for values of another shape. `where` is in
/// front of the keys in messages: "HostConfig.".
Result<Json> rebuild(const Json& body, std::span<const Field> fields, BodyContext& context,
                     std::string_view where);

/// Strict JSON: no duplicate keys in any case, no key beyond ASCII, no trailing data, one object.
/// "" and "null" are an empty object.
Result<Json> parse_body(std::string_view text);

bool is_nothing(const Json& value);
/// value[key] as text; "" when it is not there or no text.
std::string text_at(const Json& value, std::string_view key);
bool flag_at(const Json& value, std::string_view key);
std::int64_t integer_at(const Json& value, std::string_view key);

}  // namespace dirbox::docker
