#pragma once
#include <compare>
#include <cstdint>
#include <optional>

namespace dirbox::guard {

/// Who a file or directory is, for good: a number is given again, with another time.
struct Identity {
  std::uint64_t device = 0, inode = 0;
  std::int64_t born = 0;  ///< ns since 1970; 0 where the file system does not say
  auto operator<=>(const Identity&) const = default;
};

/// Of `path` at `directory`, without following a symlink; "": of the descriptor itself. nullopt: it
/// cannot be told.
std::optional<Identity> identify(int directory, const char* path = "");

}  // namespace dirbox::guard
