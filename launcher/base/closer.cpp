#include "launcher/base/closer.h"

#include <condition_variable>
#include <csignal>
#include <iterator>
#include <mutex>
#include <system_error>
#include <thread>

namespace dirbox {
namespace {

/// A process may often have no more than 1024 descriptors.
constexpr std::size_t kMostWaiting = 128;

}  // namespace

struct Closer::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<UniqueFd> waiting;
  std::size_t closing = 0;
  bool running = false, ending = false;

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return ending || !waiting.empty(); });
      if (waiting.empty()) return;
      std::vector<UniqueFd> mine = std::move(waiting);
      waiting.clear();
      closing = mine.size();
      lock.unlock();
      mine.clear();
      lock.lock();
      closing = 0;
    }
  }
};

Closer::Closer() : shared_(std::make_shared<Shared>()) {}

Closer::~Closer() {
  std::lock_guard lock(shared_->mutex);
  shared_->ending = true;
  shared_->changed.notify_all();
}

void Closer::take(UniqueFd fd) {
  if (!fd.valid()) return;
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(fd));
  take(std::move(fds));
}

void Closer::take(std::vector<UniqueFd> fds) {
  if (fds.empty()) return;
  std::lock_guard lock(shared_->mutex);
  if (!shared_->running) {
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread([keep = shared_] { keep->work(); }).detach();
      shared_->running = true;
    } catch (const std::system_error&) {
      // `fds` are closed here.
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!shared_->running) return;
  }
  std::move(fds.begin(), fds.end(), std::back_inserter(shared_->waiting));
  shared_->changed.notify_all();
}

bool Closer::full() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->waiting.size() + shared_->closing >= kMostWaiting;
}

}  // namespace dirbox
