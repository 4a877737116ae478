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
  /// Where the sandbox may write files, in every mode: `trees`, and what holds single ones.
  std::vector<std::string> places;
  /// Patterns (base/glob.h) of what no file may appear at, and the paths that were found there.
  std::vector<std::string> globs, matched;
  std::vector<std::string> hidden;  ///< paths in trees whose text is put nowhere else
  std::string home;                 ///< what "~/" in a git configuration stands for
  /// git's configurations beside those of repositories, whether there or not.
  std::vector<std::string> configs;
  /// dirbox's state lies in the work tree, whose author or an earlier sandbox may have written it:
  /// no plain directories (plain.h) and nothing that other sessions have quarantined (others.h) is
  /// taken from it.
  bool foreign_state = false;
  bool operator==(const Spec&) const = default;
};

}  // namespace dirbox::guard
