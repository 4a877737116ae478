#pragma once
#include <cstddef>
#include <memory>
#include <vector>

#include "launcher/base/unique_fd.h"

/// Closes descriptors of what somebody else made, without making the caller wait.
///
/// Theory of operation: whoever closes the last descriptor of a file pays for its end. The blocks
/// of an unlinked file of a hundred thousand extents take seconds to free, a socket brings to an
/// end what is queued in it, and a file system may have a server of its own to ask. So a thread
/// does it, which is started by the first descriptor, waits for nothing else and touches nothing
/// else. Where none can be started, the caller closes.
namespace dirbox {

class Closer {
 public:
  Closer();
  /// The thread goes on with what it was given, and ends.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  void take(UniqueFd fd);
  void take(std::vector<UniqueFd> fds);
  /// As many wait as may: accept no more descriptors until this is false.
  bool full() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace dirbox
