#pragma once
#include <sys/ioctl.h>
#include <sys/types.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "launcher/base/unique_fd.h"
#include "launcher/guard/file_time.h"
#include "launcher/guard/table.h"

/// What the Guard remembers of directories.
namespace dirbox::guard {

/// Bytes of events that have not been read.
inline std::size_t pending_bytes(const UniqueFd& inotify) {
  int pending = 0;
  if (::ioctl(inotify.get(), FIONREAD, &pending) != 0) return SIZE_MAX;
  return static_cast<std::size_t>(pending);
}

/// The directory above `path`, which is relative to a tree; "" for the tree's top.
inline std::string parent_in_tree(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

struct GuardNode {
  std::size_t tree = 0;
  std::string path;  ///< relative to the tree; "" for its top
  const Folder* folder = nullptr;
  dev_t device = 0;
  ino_t inode = 0;
  struct timespec changed {};  ///< when its watch began
};
struct GuardPlace {
  std::size_t tree;
  std::string path;
  bool made = false;   ///< since the start
  bool alone = false;  ///< in it, only directories of a kind of their own
};
struct GuardAbove {
  GuardNode node;
  UniqueFd directory;
  std::string name;
};

}  // namespace dirbox::guard
