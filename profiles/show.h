#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/json.h"
#include "profiles/load.h"
#include "profiles/profile.h"

/// Profiles for people and for scripts. Pure.
namespace dirbox::profiles {

/// A table: key, value, where it comes from; the rows of the schema in their order, those without a
/// value left out. Texts are safe for a terminal. "default" is the origin of what no file sets.
std::string show_profile(const Profile& profile);

/// What files and options say in a section, key by key in the order of the schema.
std::vector<Value> list_values(const Profile& profile, std::string_view section);

/// {"name", "chain", "filesystem": {"home": {"value", "origin"}, "read": [{"path", "optional",
/// "create", "dangerous", "origin"}]}…}: every key of the schema but extends, null where it has no
/// value.
Json to_json(const Profile& profile);

/// One difference: the value that a key has on the left only, or on the right only.
struct Difference {
  std::string key;
  std::string value;
  Origin origin;
  bool added = false;  ///< on the right
};
/// What differs in meaning, in the order of the schema; where a value comes from does not count.
std::vector<Difference> diff_profiles(const Profile& left, const Profile& right);
/// "- key  value  origin" and "+ …" lines; empty when there are none.
std::string render_diff(const std::vector<Difference>& differences);

std::string render_list(const std::vector<Listed>& profiles);
Json list_to_json(const std::vector<Listed>& profiles);

/// A commented profile to start from, which loads as it is.
std::string new_profile_text(std::string_view extends);

}  // namespace dirbox::profiles
