#pragma once
#include <string>
#include <vector>

namespace dirbox::guard {

enum class Mode {
  off,
  report,
  quarantine,
  enforce,  ///< quarantine, and guarded names cannot be made or changed (writer.h)
};

/// What a Guard is told to watch.
struct Spec {
  Mode mode = Mode::off;
  std::vector<std::string> trees;  ///< writable directories, none within another
  /// Patterns (base/glob.h) of what no file may appear at, and the paths that were found there.
  std::vector<std::string> globs, matched;
  std::vector<std::string> hidden;  ///< paths in trees whose text is put nowhere else
  bool foreign_state = false;  ///< others may have written the state directory: see plan/plan.h
  bool operator==(const Spec&) const = default;
};

}  // namespace dirbox::guard
