#include "launcher/supervise/freezer.h"

#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/base/file.h"

namespace dirbox::supervise {
namespace {

struct Row {
  pid_t parent = 0;
  bool stopped = false;
};

/// proc_pid_stat(5): the name, in parentheses, may hold anything.
bool read_row(pid_t pid, Row& row) {
  auto text = read_file(fmt::format("/proc/{}/stat", pid));
  if (!text) return false;
  const std::size_t end = text->rfind(") ");
  if (end == text->npos || end + 4 >= text->size()) return false;
  row.stopped = (*text)[end + 2] == 'T';
  const char* number = text->c_str() + end + 4;
  return std::from_chars(number, text->c_str() + text->size(), row.parent).ec == std::errc();
}

/// Every process below `root`. Those of a pid namespace stay below its first process.
std::map<pid_t, Row> rows_below(pid_t root) {
  std::map<pid_t, Row> all, below;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc"), ::closedir);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    pid_t pid = 0;
    const char* end = entry->d_name + std::strlen(entry->d_name);
    const auto read = std::from_chars(entry->d_name, end, pid);
    Row row;
    if (read.ec == std::errc() && read.ptr == end && read_row(pid, row)) all[pid] = row;
  }
  for (const auto& [pid, row] : all) {
    pid_t at = row.parent;
    for (int depth = 0; at != root && depth < 100'000; ++depth) {
      const auto above = all.find(at);
      if (above == all.end()) break;
      at = above->second.parent;
    }
    if (at == root) below[pid] = row;
  }
  return below;
}

}  // namespace

void Freezer::stop(pid_t init, std::function<void()> then) {
  if (init_ != 0) return;
  init_ = init;
  then_ = std::move(then);
  for (const auto& [pid, row] : rows_below(init)) {
    if (row.stopped) before_.insert(pid);
  }
  ask_();
}

void Freezer::on_frozen() {
  if (init_ == 0 || timer_ != 0) return;
  timer_ = loop_.after(kSettle, [this] {
    timer_ = 0;
    if (auto then = std::exchange(then_, {})) then();
  });
}

void Freezer::thaw() {
  if (init_ == 0) return;
  if (timer_ != 0) loop_.cancel(std::exchange(timer_, 0));
  then_ = {};
  for (const auto& [pid, row] : rows_below(std::exchange(init_, 0))) {
    if (!before_.contains(pid)) ::kill(pid, SIGCONT);
  }
  before_.clear();
}

}  // namespace dirbox::supervise
