#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "launcher/base/unix_socket.h"
#include "launcher/guard/guard.h"

// The part of the guard that asks for events. Until it does, its watches are only remembered.

namespace dirbox::guard {
namespace {

constexpr std::uint32_t kTreeEvents =
    IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_ONLYDIR | IN_EXCL_UNLINK;
// In directories of a known kind nearly every name is guarded, and there are few events.
constexpr std::uint32_t kSpecialEvents = kTreeEvents | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB;
constexpr std::uint32_t kFileEvents = IN_MODIFY | IN_CLOSE_WRITE;

/// Closes an inotify instance without waiting. close(2) and the end of the process wait until no
/// processor looks at its marks any more, which takes 6 to 12 ms while others make processes. In
/// flight in a socket that only itself refers to, the instance is garbage, which the kernel
/// collects in a thread of its own (unix(7), measured on Linux 6.18; older kernels wait here).
void close_later(UniqueFd inotify) {
  auto pair = make_socket_pair();
  if (!pair) return;
  const int fds[] = {inotify.get(), pair->theirs.get()};
  constexpr std::byte kByte{0};
  // Where this fails the instance is closed at once.
  if (!send_message(pair->ours.get(), {&kByte, 1}, fds)) return;
  inotify.reset();
  pair->theirs.reset();
  pair->ours.reset();  // the collection begins when a socket is closed
}

}  // namespace

/// The number of a new watch, or of the one that is there; negative while none is asked for, 0 when
/// there can be none.
int Guard::add_watch(int fd, const std::string& path, std::uint32_t events) {
  if (!inotify_.valid()) {
    const auto known = watches_.find(path);
    return known != watches_.end() ? known->second : --remembered_;
  }
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  const int wd = ::inotify_add_watch(inotify_.get(), link.c_str(), events);
  if (wd < 0) lacking_ |= errno == ENOSPC || errno == ENOMEM;
  return wd < 0 ? 0 : wd;
}

/// The path may have been made again, and be another's by now: the kernel ends a watch when the
/// last process closes what was removed.
void Guard::forget(int wd) {
  const Node& node = nodes_.at(wd);
  const auto known = watches_.find(full_path(node.tree, node.path));
  if (known != watches_.end() && known->second == wd) watches_.erase(known);
  nodes_.erase(wd);
}

bool Guard::watch(const Place& place, int directory, const Folder& folder) {
  if (nodes_.size() >= kMaxWatches) return false;
  struct stat status {};
  if (::fstat(directory, &status) != 0) return false;
  const std::string path = full_path(place.tree, place.path);
  const int wd =
      add_watch(directory, path, folder.open || folder.late ? kTreeEvents : kSpecialEvents);
  if (wd == 0) return false;
  if (nodes_.contains(wd)) forget(wd);
  nodes_[wd] = {place.tree, place.path, &folder, status.st_dev, status.st_ino, status.st_ctim};
  watches_[path] = wd;
  return true;
}

/// A change of a file in place is an event of the file where its directory is not asked for them.
/// True for a watch that is new.
bool Guard::watch_file(const Node& node, int directory, const std::string& name) {
  // Directories go first.
  if (ending_) return false;
  if (nodes_.size() >= (node.folder->open ? kMaxWatches : kMaxWatches / 2)) {
    unnoted_ = true;
    return false;
  }
  UniqueFd file(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) return false;
  const std::string path = node.path.empty() ? name : node.path + "/" + name;
  const int wd = add_watch(file.get(), full_path(node.tree, path), kFileEvents);
  unnoted_ |= wd == 0;
  if (wd == 0) return false;
  if (const auto known = nodes_.find(wd); known != nodes_.end()) {
    if ((known->second.path != path || known->second.tree != node.tree) &&
        links_.size() < kMaxWatches) {
      links_.emplace(wd, Place{node.tree, path});
    }
    return false;
  }
  nodes_[wd] = {node.tree, path, nullptr, 0, 0, {}};
  watches_[full_path(node.tree, path)] = wd;
  return true;
}

/// A directory went elsewhere: what is known of it and beneath it is not where it was.
void Guard::forget(std::size_t tree, const std::string& path) {
  std::vector<int> gone;
  for (const auto& [wd, node] : nodes_) {
    if (node.tree == tree && (node.path == path || node.path.starts_with(path + "/")))
      gone.push_back(wd);
  }
  for (int wd : gone) {
    const Node& node = nodes_.at(wd);
    watches_.erase(full_path(node.tree, node.path));
    nodes_.erase(wd);
    // Where it is gone already, so is the watch.
    ::inotify_rm_watch(inotify_.get(), wd);
  }
}

/// Asks for events of what start() has remembered, then looks at what happened before.
void Guard::arm() {
  timer_ = 0;
  lacking_ = false;
  inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify_.valid()) return poll_instead();
  if (auto added = loop_.add(inotify_.get(), EPOLLIN, [this](std::uint32_t) { on_events(1); });
      !added) {
    inotify_.reset();
    return poll_instead();
  }
  const auto remembered = nodes_;
  const auto places = std::exchange(watches_, {});
  nodes_.clear();
  for (const auto& [number, node] : remembered) {
    if (node.folder == nullptr) continue;
    UniqueFd directory = open_place(node.tree, node.path);
    if (directory.valid()) watch({node.tree, node.path, false}, directory.get(), *node.folder);
  }
  for (const auto& [number, node] : remembered) {
    if (node.folder != nullptr) continue;
    if (auto above = open_above(node)) watch_file(above->node, above->directory.get(), above->name);
  }
  if (lacking_) {
    loop_.remove(inotify_.get());
    close_later(std::move(inotify_));
    nodes_ = remembered;
    watches_ = places;
    return poll_instead();
  }
  look_at_all();
  walk_slice();
  silence_.wake();
}

/// The user has no instance or no watch left, as with very many sandboxes at once. Most of them
/// leave some before long.
void Guard::poll_instead() {
  unwatched_ = true;
  if (++polls_ == kPollsInSilence) {
    complaints_.push_back(fmt::format(
        "guard: for want of inotify instances or watches, changes are looked for every {} ms: "
        "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches",
        kPoll.count()));
  }
  timer_ = loop_.after(kPoll, [this] {
    look_now();
    arm();
  });
}

/// Without events: what start() knew, and what is new since.
void Guard::look_now() {
  look_at_all();
  auto waiting = std::exchange(queue_, {});
  for (std::size_t tree = 0; tree < trees_.size(); ++tree) visit({tree, "", false});
  queue_ = std::move(waiting);
}

void Guard::stop_watching() {
  if (timer_ != 0) loop_.cancel(timer_);
  timer_ = 0;
  silence_.stop();
  watching_ = false;
  if (!inotify_.valid()) return;
  loop_.remove(inotify_.get());
  close_later(std::move(inotify_));
}

}  // namespace dirbox::guard
