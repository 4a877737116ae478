#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/plan/host.h"

namespace dirbox::plan {

/// Follows a path component by component, each symlink once, and remembers what it saw: of one
/// name, one answer for the whole compilation.
class Resolver {
 public:
  explicit Resolver(const FileView& files);

  struct Hop {
    std::string path;  ///< where the symlink is: no symlink in its parents
    std::string text;
    bool last = false;  ///< nothing followed it: it is a name of what was asked for
  };
  struct Resolution {
    std::string path;  ///< without symlinks; where something is missing, the rest is taken as it is
    FileStat stat;
    std::vector<Hop> hops;  ///< symlinks passed, in order
  };
  /// `path` is absolute. A loop gives err = ELOOP.
  Resolution resolve(std::string_view path);
  const FileView& files() const { return files_; }

 private:
  using Index = std::uint32_t;
  /// One name that was asked for, and was not known to be missing.
  struct Node {
    Index parent = 0;
    bool known = false;  ///< `stat` was asked for
    std::uint16_t questions = 0;
    std::uint16_t listing = 0;  ///< of a directory: position in listings_; 0: not read
    std::string name;
    FileStat stat;
  };
  static constexpr Index kRoot = 0, kNone = ~Index{0};

  /// kNone when the directory `parent` is known to have no such name.
  Index child_of(Index parent, std::string_view name);
  const FileStat& stat_of(Index index);
  std::string path_of(Index index) const;
  bool read_directory(Index index);
  Index* place_of(Index parent, std::string_view name);
  void grow_table();
  Index start_of(std::string_view& path) const;

  const FileView& files_;
  std::deque<Node> nodes_;                    // the first one is the root
  std::vector<Index> table_;                  // open addressing by parent and name
  std::vector<std::vector<Child>> listings_;  // sorted by name; the first one is of no directory
  std::string last_directory_;                // of the last path that has no symlink …
  Index last_node_ = kRoot;                   // … and its node
};

}  // namespace dirbox::plan
