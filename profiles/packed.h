#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "profiles/profile.h"

/// A merged Profile as bytes without pointers. The build packs every built-in one, so that a start
/// reads it in one pass instead of parsing and merging TOML; profiles/prebuild writes the bytes.
namespace dirbox::profiles {

/// The rows of the schema in their order, and the chain; not the name. Only the schema of the same
/// build reads it.
std::string pack_profile(const Profile& profile);

/// The inverse; nullopt where `bytes` is not what pack_profile() of this schema returns.
std::optional<Profile> unpack_profile(std::string_view bytes);

/// The files that were merged, base first, as Profile::chain has them: the first thing in `bytes`.
std::optional<std::vector<std::string>> unpack_chain(std::string_view bytes);

}  // namespace dirbox::profiles
