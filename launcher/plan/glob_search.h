#pragma once
#include <string>
#include <vector>

#include "launcher/base/glob.h"
#include "launcher/base/result.h"
#include "launcher/plan/host.h"

/// Which paths the wildcards of hide and protect stand for when a sandbox starts.
namespace dirbox::plan {

/// What a start looks at and takes in for one pattern. Beyond it is an error: what is not looked at
/// would be visible.
inline constexpr std::size_t kMaxListed = 50'000;  // directories; half a second
inline constexpr std::size_t kMaxMatches = 1'000;  // each costs a mount
inline constexpr std::size_t kMaxGlobs = 32;

struct GlobMatches {
  std::vector<std::string> paths;  ///< in no order that means anything
  std::size_t listed = 0;          ///< directories that were read
};

/// Everything in `roots` (absolute, without symlinks, none within another), and of them, that
/// `glob` names. No symlink is followed, and what matches is not looked into. Reads only
/// directories that a match can lie in.
Result<GlobMatches> find_matches(const FileView& files, const Glob& glob,
                                 const std::vector<std::string>& roots);

}  // namespace dirbox::plan
