#pragma once
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "launcher/base/glob.h"
#include "launcher/base/result.h"
#include "launcher/guard/entry.h"
#include "launcher/guard/identity.h"
#include "launcher/guard/spec.h"

namespace dirbox::guard {

/// Patterns of hide and protect. What they named when the sandbox began is mounted over inside, so
/// that only the host can change it, and does so in its own right. What is there later, under the
/// same path or another one, is not: whatever has not the identity of one of the former is held.
class Held {
 public:
  static constexpr std::size_t kMaxText = 8 << 20;  ///< in all; what is beyond is not put back

  /// Before anything runs inside. Adds what is there to `before`, by its full path.
  Result<void> remember(const Spec& spec, std::map<std::string, Before>& before);
  bool empty() const { return globs_.empty(); }
  const std::vector<Glob>& globs() const { return globs_; }
  /// Whether what was at `path` is a secret: put back, it would be another file, which nothing
  /// covers inside.
  bool hides(const std::string& path) const;
  /// Whether nothing may be at `path`, which is absolute: a pattern names it, or a directory above
  /// it, and the sandbox has made or moved that.
  bool holds(const std::string& path) const;

 private:
  std::set<std::string, std::less<>> hidden_;
  std::vector<Glob> globs_;
  std::set<Identity> matched_;
};

}  // namespace dirbox::guard
