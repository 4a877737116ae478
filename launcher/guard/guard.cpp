#include "launcher/guard/guard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"

// Theory of operation. start() reads the guarded names (table.h, held.h) in the top of each tree
// and in its git directory, some dozens of look-ups, and remembers these directories; a command
// that lives longer than kDelay, and writes, has them watched with inotify(7) from then on
// (watches.cpp), and what happened before is looked for. Other directories of the tree are watched
// as time allows: kSlice of them at a time while the command runs, breadth first, up to
// kMaxWatches; every directory that is made in a watched one is watched at once, with what is in
// it. What such a directory held before is not known, so a guarded name there counts as changed
// when its ctime is not before the start: a ctime cannot be set. Where the directory itself may
// have come there since, that says nothing (familiar.h).
//
// An event leads to one look at one name, by descriptor and without following a symlink. What is a
// danger is undone at once (entry.h). After an overflow of the queue every name in every watched
// directory is looked at, and the trees are walked once more. check() handles what is pending;
// finish(), after the last process of the sandbox is gone, looks at what start() knew, and where
// nothing was watched but in plain.h's directories. Each callback does a bounded piece of work: a
// flood of events delays only that.
//
// Who changed a file cannot be told from it: what the host changes while something inside acts, or
// may act (silence.h), is undone too, until the user puts it back. Stores through a memory mapping
// finish() finds.

namespace dirbox::guard {
namespace {

constexpr std::size_t kEvents = 4 << 10;      // bytes of them that are read at once
constexpr std::size_t kMostAtEnd = 32 << 10;  // bytes that finish() reads

}  // namespace

Guard::Guard(EventLoop& loop, Spec spec, std::string store, const std::string& plain)
    : loop_(loop),
      spec_(std::move(spec)),
      store_path_(std::move(store)),
      plain_(plain),
      familiar_(plain.empty() ? plain : plain + ".places"),
      others_(spec_.foreign_state ? "" : store_path_),
      silence_(loop, [this] { listen(); }),
      leads_(spec_.home, [this](const std::string& path) { return read_config(path); }) {}

Guard::~Guard() { stop_watching(); }

Result<void> Guard::start(bool told) {
  announce();
  if (spec_.mode == Mode::off || spec_.trees.empty()) return {};
  started_ = TRY(file_time());
  TRY_VOID(held_.remember(spec_, before_));
  indirect_.globs = held_.globs();
  if (spec_.mode == Mode::enforce) indirect_.share();
  TRY_VOID(open_trees());
  watching_ = true;
  if (!told) familiar_.begin();
  begun_ = EventLoop::Clock::now();
  timer_ = loop_.after(told ? kQuietDelay : kDelay, [this] { arm(); });
  return {};
}

void Guard::expect_writes() {
  if (inotify_.valid()) silence_.wake();
  if (watching_) familiar_.begin();
  if (!watching_ || inotify_.valid() || polls_ != 0) return;
  const auto lived =
      std::chrono::duration_cast<std::chrono::milliseconds>(EventLoop::Clock::now() - begun_);
  loop_.cancel(timer_);
  timer_ = loop_.after(std::max(kDelay - lived, std::chrono::milliseconds(0)), [this] { arm(); });
}

Result<void> Guard::open_trees() {
  for (const std::string& path : spec_.trees) {
    UniqueFd tree(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!tree.valid()) return fail_errno("guard a directory", escape_for_terminal(path));
    trees_.push_back(std::move(tree));
  }
  take_leads(leads_.of_host(spec_));
  for (std::size_t index = 0; index < trees_.size(); ++index) {
    const std::string& path = spec_.trees[index];
    const int top = trees_[index].get();
    const Folder* folder = folder_at(index, "", top);
    if (!watch({index, "", false}, top, *folder))
      return fail_errno("guard a directory", escape_for_terminal(path));
    snapshot(nodes_.at(watches_.at(path)), top);
    queue_.push_back({index, "", false});
  }
  remember_followed();
  return {};
}

/// Remembers the guarded names of a directory, and of the special ones in it, which get watched.
void Guard::snapshot(const Node& node, int directory) {
  const Node here = node;  // watch() moves nodes
  familiar_.note(full_path(here.tree, here.path), directory, false);
  auto remember = [&](const std::string& name) {
    auto entry = look_at(directory, name);
    if (!entry) return;
    before_[full_name(here, name)] = before_from(*entry);
    note_leads(here, name, *entry, false);
    // A change in place is an event of the file, not of a directory of the tree, nor where the file
    // has another name.
    if (S_ISREG(before_[full_name(here, name)].mode)) watch_file(here, directory, name);
  };
  // By name where there may be very many others.
  const auto [entries, whole] = list_entries(directory, kFewEntries);
  std::vector<std::string> folders;
  bool every = whole;
  for (const NameRule& rule : here.folder->names) {
    every |= is_pattern(rule);
    if (!whole && !is_pattern(rule)) remember(std::string(rule.name));
  }
  for (const FolderRule& rule : here.folder->folders) {
    every |= rule.name.starts_with('*');
    if (!whole && rule.name != "*") folders.emplace_back(rule.name);
  }
  if (every) {
    for (const auto& [name, is_directory] :
         whole ? entries : list_entries(directory, kMaxEntries).entries) {
      if (!is_directory && find_name(*here.folder, name) != nullptr) remember(name);
      const bool special = is_special(*here.folder, name) || !here.folder->open;
      if (special && find_folder(*here.folder, name) != nullptr) folders.push_back(name);
    }
  }
  for (const std::string& name : folders) {
    const Folder* folder = find_folder(*here.folder, name);
    if (folder == nullptr || folder->late) continue;
    const std::string path = here.path.empty() ? name : here.path + "/" + name;
    UniqueFd fd = open_place(here.tree, path);
    if (!fd.valid()) {
      if (auto link = look_at(directory, name)) {
        before_[full_name(here, name)] = before_from(*link);
        note_leads(here, name, *link, false);
      }
      continue;
    }
    if (watch({here.tree, path, false}, fd.get(), *folder))
      snapshot(nodes_.at(watches_.at(full_path(here.tree, path))), fd.get());
    if (folder->open) queue_.push_back({here.tree, path, false});
  }
}

void Guard::check() {
  if (!watching_) return;
  if (inotify_.valid()) {
    // What happens from here on is not waited for.
    on_events(pending_bytes(inotify_));
  } else {
    look_now();
  }
}

void Guard::finish(bool written) {
  if (!watching_) return;
  if (inotify_.valid()) {
    // Where there are very many, all that can be written is looked through instead.
    const std::size_t pending = pending_bytes(inotify_);
    unwatched_ |= pending > kMostAtEnd;
    if (pending <= kMostAtEnd) on_events(pending);
  }
  ending_ = true;
  if (written) {
    familiar_.begin();
    others_.look(in_ns(started_));
    visit_rest();
  }
  look_at_all();
  look_at_gitfiles();
  visit_followed();
  plain_.save();
  familiar_.save();
  stop_watching();
}

/// At least `most` bytes of events, where there are so many.
void Guard::on_events(std::size_t most) {
  alignas(inotify_event) char buffer[kEvents];
  for (std::size_t done = 0; done < most;) {
    const ssize_t size = ::read(inotify_.get(), buffer, sizeof buffer);
    if (size <= 0) return;
    done += static_cast<std::size_t>(size);
    for (ssize_t at = 0; at < size;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      const char* name = buffer + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        // What was made meanwhile is not known at all.
        unwatched_ = true;
        silence_.wake();
        queue_.clear();
        later_.clear();
        look_at_all();
        for (std::size_t tree = 0; tree < trees_.size(); ++tree) queue_.push_back({tree, "", true});
        walk_slice();
      } else {
        handle(event.wd, event.mask, event.len > 0 ? std::string(name) : std::string());
        visit_followed();
      }
    }
  }
}

void Guard::handle(int wd, std::uint32_t mask, const std::string& name) {
  auto found = nodes_.find(wd);
  if (found == nodes_.end()) return;
  if ((mask & IN_IGNORED) != 0) return forget(wd);
  const Node node = found->second;
  asked_.reset();
  if (name.empty()) {
    // A watch of one file, which may have several guarded names: each is looked at in its
    // directory.
    if (node.folder != nullptr) return;
    std::vector<Place> places{{node.tree, node.path}};
    for (auto [at, end] = links_.equal_range(wd); at != end; ++at) places.push_back(at->second);
    for (const Place& place : places) {
      if (auto above = open_above({place.tree, place.path, nullptr, 0, 0, {}}))
        look(above->node, above->directory.get(), above->name);
    }
    return;
  }
  UniqueFd directory = open_node(node);
  if (!directory.valid()) return;  // moved: the event of its new place follows, or it is gone
  if ((mask & IN_ISDIR) != 0) return on_directory(node, directory.get(), mask, name);
  if ((mask & IN_MOVED_FROM) != 0) return;
  look(node, directory.get(), name);
  become_git(node, directory.get(), name);
}

/// The directory that holds the file of `node`.
std::optional<GuardAbove> Guard::open_above(const Node& node) const {
  const std::string parent = parent_in_tree(node.path);
  UniqueFd directory = open_place(node.tree, parent);
  if (!directory.valid()) return std::nullopt;
  const Folder* folder = folder_at(node.tree, parent, directory.get());
  if (folder == nullptr) return std::nullopt;
  return GuardAbove{{node.tree, parent, folder, 0, 0, {}},
                    std::move(directory),
                    std::string(path_name(node.path))};
}

void Guard::on_directory(const Node& parent, int directory, std::uint32_t mask,
                         const std::string& name) {
  const std::string path = parent.path.empty() ? name : parent.path + "/" + name;
  if ((mask & IN_MOVED_FROM) != 0) return forget(parent.tree, path);
  if ((mask & (IN_CREATE | IN_MOVED_TO)) == 0) return;
  visit({parent.tree, path, true});
  become_git(parent, directory, name);
}

/// HEAD, objects and refs make a git directory of any other.
void Guard::become_git(const Node& node, int directory, const std::string& name) {
  constexpr std::string_view kNames[] = {"HEAD", "objects", "refs", "commondir", "config"};
  if (node.folder->open &&
      std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) &&
      is_git_directory(directory)) {
    visit({node.tree, node.path, true, true});
  }
}

void Guard::walk_slice() {
  if (timer_ != 0) loop_.cancel(timer_);
  timer_ = 0;
  if (!watching_) return;
  if (queue_.empty()) queue_.swap(later_);
  for (std::size_t i = 0; i < kSlice && !queue_.empty() && nodes_.size() < kMaxWatches; ++i) {
    const Place place = std::move(queue_.front());
    queue_.pop_front();
    visit(place);
    visit_followed();
  }
  const bool more = !queue_.empty() || !later_.empty();
  if (nodes_.size() >= kMaxWatches) unwatched_ |= more;
  if (!more || nodes_.size() >= kMaxWatches) return;
  if (timer_ == 0) timer_ = loop_.after(kBetweenSlices, [this] { walk_slice(); });
}

}  // namespace dirbox::guard
