#pragma once
#include <string>
#include <vector>

#include "launcher/base/origin.h"

namespace dirbox::sync {

/// A file of the private home that goes back to the host.
struct File {
  std::string path;  ///< without symlinks: the same on the host and inside; it may be missing
  std::string link;  ///< its name as the profile has it, where a symlink leads from there to `path`
  Origin origin;
  bool operator==(const File&) const = default;
};

struct Spec {
  static constexpr std::size_t kMaxFiles = 4;  ///< two directories each, eight descriptors in all

  std::vector<File> files;
  std::vector<std::string> here;  ///< the working directory and its project
  bool operator==(const Spec&) const = default;
};

/// The directories that hold `spec`'s files under one of their names, each once.
std::vector<std::string> directories_of(const Spec& spec);

}  // namespace dirbox::sync
