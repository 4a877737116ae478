#pragma once
#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "launcher/base/unique_fd.h"

namespace dirbox::guard {

/// Theory of operation: every sandbox that may write in a directory holds a read lock
/// (fcntl_locking(2), of the open file description) on byte kHere of it, and on byte kBelow of each
/// directory above it. Whether a write lock would be in the way of another's tells who else is
/// there; nobody takes one, and the kernel frees the locks of whoever dies. Somebody inside can
/// take locks as well: then it is not known that this sandbox is alone, and nothing else.
class TreeLocks {
 public:
  /// `path`: a directory, absolute and without symlinks.
  void mark(const std::string& path);
  /// Whether no other sandbox may write in the marked directory that holds `path`, in one above it,
  /// or in one beneath it, now. False where that cannot be told.
  bool are_alone(std::string_view path) const;
  /// The marked directories in which that is so.
  std::set<std::string> alone_in() const;

 private:
  static constexpr off_t kHere = 0, kBelow = 1;

  bool known_ = true;
  std::map<std::string, UniqueFd> trees_, above_;  ///< by path
};

}  // namespace dirbox::guard
