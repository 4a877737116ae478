#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// git's index (gitformat-index(5)), and which one leads git out of the work tree. Pure.
namespace dirbox::guard {

/// Fills `into` with what is at `offset`; false: it cannot.
using ReadAt = std::function<bool(std::uint64_t offset, std::span<char> into)>;

struct IndexBytes {
  std::uint64_t size = 0;
  ReadAt read;
};
IndexBytes bytes_of_index(std::string_view text);

/// Of one with more it is not known what it does. git needs some 100 bytes for a file.
inline constexpr std::uint64_t kMaxIndex = 512 << 20;
inline constexpr std::size_t kSha1Size = 20, kSha256Size = 32;

/// What in an index makes git read or write another file than one of the work tree, or what makes
/// it none that git writes; nullopt: nothing. git looks at no path when it reads one. `id_size`: of
/// the repository's object ids, in bytes. `shared`: it is the other half of a split index. In time
/// linear in the size, and bounded memory.
std::optional<std::string> find_index_danger(const IndexBytes& bytes, std::size_t id_size,
                                             bool shared);

/// Whether git would take a component of a path for ".git" on some file system, or does not let it
/// be one.
bool is_forbidden_component(std::string_view name);

}  // namespace dirbox::guard
