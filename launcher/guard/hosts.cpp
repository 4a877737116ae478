#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "launcher/base/path.h"
#include "launcher/guard/guard.h"

// What the host itself changes while nothing inside acts (silence.h) is left alone.

namespace dirbox::guard {
namespace {

/// Whether nothing but the entry itself is executed. What leads to other files, which the sandbox
/// may have written, is the guard's as it was at the start.
bool stands_alone(const NameRule& rule, const std::vector<Finding>& found) {
  if (rule.what == What::whole) return true;
  return rule.what == What::config &&
         std::all_of(found.begin(), found.end(), [](const Finding& finding) {
           return !finding.key.empty() && finding.key != "core.hookspath" &&
                  finding.key != "core.worktree" && !finding.key.starts_with("include");
         });
}

}  // namespace

/// Tells other sandboxes that this one writes here.
void Guard::announce() {
  if (!store_path_.empty() && !spec_.foreign_state)
    silence_.leave_word_at(path_join(path_parent(path_parent(store_path_)), "unguarded"));
  bool guarded = spec_.mode == Mode::quarantine || spec_.mode == Mode::enforce;
  for (const std::string& place : spec_.places) {
    silence_.locks().mark(place);
    guarded &= std::find(spec_.trees.begin(), spec_.trees.end(), place) != spec_.trees.end();
  }
  if (guarded) return;
  if (auto told = silence_.note_unguarded(); !told) complain("guard: " + told.error().message());
}

/// True where the look is to be repeated. `found` is empty where the host, surely, made the change.
bool Guard::is_put_off(const Node& node, int directory, const std::string& name,
                       const NameRule& rule, const Entry& now, std::vector<Finding>& found) {
  const std::string path = full_name(node, name);
  struct stat top {};
  // What is held is to be nowhere, whoever made it. A directory that is a file system of its own
  // can come from a call that names nothing: an ioctl of btrfs.
  if (ending_ || !silence_.has_mark() || !stands_alone(rule, found) || held_.holds(path) ||
      held_.hides(path) || others_.distrusts(path) || ::fstat(trees_[node.tree].get(), &top) != 0 ||
      top.st_dev != now.status.st_dev) {
    return false;
  }
  const auto whose = silence_.whose(path, directory, name, now);
  if (whose == Silence::Whose::later) silence_.put_off(path, node, name);
  if (whose == Silence::Whose::host) {
    before_[path] = before_from(now);
    silence_.note_host(path);
    found.clear();
  }
  return whose == Silence::Whose::later;
}

/// Looks at what was put off; and for a mark, for which nothing may be pending.
void Guard::listen() {
  for (const auto& [path, place] : silence_.take_put_off()) {
    const auto& [node, name] = place;
    UniqueFd directory = open_place(node.tree, node.path);
    asked_.reset();
    if (directory.valid()) look(node, directory.get(), name);
  }
  auto is_busy = [&] {
    return !inotify_.valid() || !queue_.empty() || !later_.empty() || unnoted_;
  };
  if (silence_.has_mark() || is_busy() || !silence_.begin()) return;
  std::vector<const Node*> files;
  for (const auto& [wd, node] : nodes_) {
    if (node.folder == nullptr) files.push_back(&node);
  }
  if (files.size() > Silence::kMostFiles) return;
  for (const Node* file : files) {
    const std::string path = full_path(file->tree, file->path);
    const auto before = before_.find(path);
    if (auto above = open_above(*file)) {
      silence_.note_file(path, above->directory.get(), above->name,
                         before != before_.end() ? before->second : Before{}, started_);
    }
  }
  on_events(pending_bytes(inotify_));
  if (!is_busy()) silence_.end();
}

}  // namespace dirbox::guard
