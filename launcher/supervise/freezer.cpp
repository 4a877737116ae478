#include "launcher/supervise/freezer.h"

#include <dirent.h>

#include <charconv>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "launcher/base/process.h"

namespace dirbox::supervise {
namespace {

/// Every process below `root`. Those of a pid namespace stay below its first process. In time that
/// grows with their number alone: what is inside chooses how deep they are.
std::map<pid_t, ProcessState> states_below(pid_t root) {
  std::multimap<pid_t, std::pair<pid_t, ProcessState>> children;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc"), ::closedir);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    pid_t pid = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    const auto read = std::from_chars(entry->d_name, end, pid);
    if (read.ec != std::errc() || read.ptr != end) continue;
    if (const auto state = read_process_state(pid))
      children.emplace(state->parent, std::pair(pid, *state));
  }
  std::map<pid_t, ProcessState> below;
  std::vector<pid_t> parents{root};
  while (!parents.empty()) {
    auto [child, last] = children.equal_range(parents.back());
    parents.pop_back();
    for (; child != last; ++child) {
      // A number that was given again meanwhile may close a circle.
      if (below.insert(child->second).second) parents.push_back(child->second.first);
    }
  }
  return below;
}

}  // namespace

void Freezer::stop(pid_t init, std::function<void()> then) {
  if (init_ != 0) return;
  init_ = init;
  then_ = std::move(then);
  for (const auto& [pid, process] : states_below(init)) {
    if (process.state == 'T') before_.insert(pid);
  }
  asked_ = true;
  ask_();
}

void Freezer::on_frozen() {
  if (!asked_) return;
  asked_ = false;
  if (!then_) return go_on_();
  timer_ = loop_.after(kSettle, [this] {
    timer_ = 0;
    if (auto then = std::exchange(then_, {})) then();
  });
}

bool Freezer::thaw() {
  then_ = {};
  if (asked_) return false;
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  if (init_ == 0) return true;
  for (const auto& [pid, process] : states_below(std::exchange(init_, 0))) {
    if (!before_.contains(pid)) ::kill(pid, SIGCONT);
  }
  before_.clear();
  return true;
}

}  // namespace dirbox::supervise
