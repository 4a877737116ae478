#pragma once
#include <pthread.h>

#include <functional>
#include <optional>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

namespace dirbox::sandbox {

/// Makes init's network namespace while init mounts: the kernel takes as long for the one as for
/// half of the other (man/decisions/0032).
class NetworkThread {
 public:
  NetworkThread() = default;
  NetworkThread(const NetworkThread&) = delete;
  NetworkThread& operator=(const NetworkThread&) = delete;

  /// Starts the thread: a network namespace of its own, unless `shared`, and `setup` in it. `setup`
  /// must outlive join() and may touch nothing that the caller changes until then. Fails with
  /// pthread_create(3)'s errors.
  Result<void> start(std::function<Result<void>()> setup, bool shared);

  /// Waits for the thread to end; the caller is in its namespace afterwards. Fails as `setup` did.
  Result<void> join();

 private:
  static void* run(void* self);
  Result<void> make();

  std::function<Result<void>()> setup_;
  bool shared_ = false;
  pthread_t thread_{};
  UniqueFd namespace_;
  std::optional<Error> failure_;
};

}  // namespace dirbox::sandbox
