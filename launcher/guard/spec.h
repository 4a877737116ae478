#pragma once
#include <string>
#include <vector>

namespace dirbox::guard {

enum class Mode { off, report, quarantine };

/// What a Guard is told to watch.
struct Spec {
  Mode mode = Mode::off;
  std::vector<std::string> trees;  ///< writable directories, none within another
  bool operator==(const Spec&) const = default;
};

}  // namespace dirbox::guard
