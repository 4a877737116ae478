#include "launcher/supervise/asked.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <iterator>
#include <new>
#include <string>

#include "launcher/base/unique_fd.h"
#include "seccomp/groups.h"
#include "seccomp/observed.h"

namespace dirbox::supervise {
namespace {

struct Thread {
  std::atomic<pid_t> id{0};
  std::atomic<std::uint64_t> at{0};  ///< the count of its last question
};

/// Not by /proc, which may hide what this process cannot trace (hidepid of proc(5)).
bool is_there(pid_t thread) { return ::kill(thread, 0) == 0 || errno != ESRCH; }

bool is_asked_about(const seccomp::Call& call) {
  const auto is_it = [&](const auto& row) { return row.call == call.name; };
  const auto observed = seccomp::observed_calls();
  const auto enforced = seccomp::enforced_calls();
  return std::any_of(observed.begin(), observed.end(), is_it) ||
         std::any_of(enforced.begin(), enforced.end(), is_it);
}

}  // namespace

struct Asked::Shared {
  std::atomic<std::uint64_t> count{0};
  std::atomic<bool> waits{false};  ///< the supervisor, to hear of the next question
  std::atomic<bool> lost{false};   ///< what is under way can be told no more
  std::atomic<std::size_t> used{0};
  Thread threads[kThreads];
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

Asked::~Asked() {
  if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
}

Result<void> Asked::make() {
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("share memory with the observer", "mmap");
  shared_ = new (memory) Shared;
  return {};
}

/// Where the question of `thread` is remembered; kThreads: nowhere.
std::size_t Asked::slot_of(pid_t thread) {
  if (const auto known = slots_.find(thread); known != slots_.end()) return known->second;
  if (shared_->used == kThreads && free_.empty()) {
    for (auto known = slots_.begin(); known != slots_.end();) {
      const bool gone = !is_there(known->first);
      if (gone) free_.push_back(known->second);
      known = gone ? slots_.erase(known) : std::next(known);
    }
    if (free_.empty()) return kThreads;
  }
  std::size_t slot = shared_->used;
  if (slot == kThreads) {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[thread] = slot;
  return slot;
}

bool Asked::note(pid_t thread) {
  const std::uint64_t count = shared_->count + 1;
  const std::size_t slot = shared_->lost ? kThreads : slot_of(thread);
  if (slot == kThreads) {
    lose();
  } else {
    shared_->threads[slot].id = thread;
    shared_->threads[slot].at = count;
    if (slot == shared_->used) shared_->used = slot + 1;
  }
  shared_->count = count;
  return shared_->waits && shared_->waits.exchange(false);
}

void Asked::lose() { shared_->lost = true; }

void Asked::wait_again() { shared_->waits = true; }

std::uint64_t Asked::count() const { return shared_->count; }

bool Asked::is_silent(std::uint64_t since) const { return !shared_->lost && count() == since; }

std::optional<std::uint64_t> Asked::settle() {
  // First, so that the question after the count is told.
  shared_->waits = true;
  const std::uint64_t count = shared_->count;
  if (shared_->lost) return std::nullopt;
  const std::size_t used = shared_->used;
  for (std::size_t i = 0; i < used; ++i) {
    const Thread& thread = shared_->threads[i];
    if (thread.at > settled_ && !has_left_observed_call(thread.id)) return std::nullopt;
  }
  settled_ = count;
  return count;
}

bool has_left_observed_call(pid_t thread) {
  const UniqueFd file(
      ::open(fmt::format("/proc/{}/syscall", thread).c_str(), O_RDONLY | O_CLOEXEC));
  char text[256];  // a number, six arguments and two addresses
  const ssize_t size = file.valid() ? ::read(file.get(), text, sizeof text) : -1;
  if (size < 0) return !is_there(thread);
  // "running", where it may be in any.
  int number = 0;
  if (std::from_chars(text, text + size, number).ec != std::errc{}) return false;
  const seccomp::Call* call = seccomp::find_call(seccomp::kNativeArch, number);
  return number == -1 || (call != nullptr && !is_asked_about(*call));
}

}  // namespace dirbox::supervise
