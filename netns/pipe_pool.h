#pragma once
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// Pipes for splice(2), lent to a relay for as long as bytes are in them. An idle connection has
/// none: that is what keeps ten thousand of them small.
namespace dirbox::netns {

struct Pipe {
  UniqueFd read, write;
  bool valid() const { return read.valid(); }
};

class PipePool {
 public:
  /// Bytes asked for per pipe. The kernel grants less to a user with many pipes (pipe(7),
  /// pipe-user-pages-soft), which costs speed and nothing else.
  static constexpr int kPipeBytes = 256 * 1024;
  static constexpr std::size_t kKeep = 32;  ///< empty pipes kept for the next relay

  Result<Pipe> take();
  /// `pipe` must be empty.
  void give_back(Pipe pipe);

 private:
  std::vector<Pipe> free_;
};

}  // namespace dirbox::netns
