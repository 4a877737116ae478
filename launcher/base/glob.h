#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"

namespace dirbox {

bool is_glob(std::string_view path);

/// Name against one component of a Glob. Takes time proportional to the product of their lengths.
bool match_name(std::string_view pattern, std::string_view name);

/// An absolute path with wildcards: `*` stands for any characters of one name, also a dot at its
/// beginning, and the component `**` for any number of directories, also none; at the end for one
/// name or more. Neither stands for `.git`, where git makes and removes what it likes. A path is
/// taken component by component, so that a search of a tree looks at each name once.
class Glob {
 public:
  static constexpr std::size_t kMaxComponents = 63;
  /// The positions that a path can have led to, as bits; 0: nothing in it can match.
  using States = std::uint64_t;

  /// Errors: not absolute, more than kMaxComponents.
  static Result<Glob> parse(std::string_view path);

  States begin() const { return closed(1); }  ///< at "/"
  States step(States states, std::string_view name) const;
  bool is_match(States states) const { return (states >> parts_.size() & 1) != 0; }
  /// The one name that can follow; empty when several can.
  std::string_view only_name(States states) const;

  /// The part of `path` that matches: the directory above it that is next to "/", or all of it.
  /// Empty: none does. `path` is absolute and normal.
  std::string_view find_in(std::string_view path) const;

 private:
  States closed(States states) const;

  std::vector<std::string> parts_;
};

}  // namespace dirbox
