#include <sys/stat.h>

#include "launcher/base/path.h"
#include "launcher/guard/git_config.h"
#include "launcher/guard/guard.h"

// What git's configurations and symlinks with a guarded name lead to within the trees (leads.h) is
// guarded as well, where they were there before the start: a hooks directory of another name, files
// that are included, what a hook is a symlink to. New ones of the kind are undone.

namespace dirbox::guard {
/// The tree that holds `path`, and the path within it; nullopt for one outside.
std::optional<Guard::Place> Guard::find_place(const std::string& path) const {
  for (std::size_t tree = 0; tree < spec_.trees.size(); ++tree) {
    if (path_is_beneath(path, spec_.trees[tree]))
      return Place{tree, std::string(path_relative(path, spec_.trees[tree])), false};
  }
  return std::nullopt;
}

/// What was there before, where that is known, else what is there.
std::optional<std::string> Guard::read_config(const std::string& path) const {
  const auto known = before_.find(path);
  if (known != before_.end() && S_ISREG(known->second.mode)) return known->second.text;
  return read_plain(path);
}

/// Of a guarded name. One that is `made` since the start leads nowhere by itself, but makes a work
/// tree, for which configurations from before may name hooks.
void Guard::note_leads(const Node& node, const std::string& name, const Entry& entry, bool made) {
  if (!entry.text) return;
  const std::string directory = full_path(node.tree, node.path);
  if (S_ISLNK(entry.status.st_mode) && !made) {
    const Folder* folder = find_folder(*node.folder, name);
    if (node.folder->open && !is_special(*node.folder, name)) folder = nullptr;
    const NameRule* rule = find_name(*node.folder, name);
    if (rule != nullptr || folder != nullptr)
      take_leads(Leads::of_link(directory, *entry.text, rule, folder));
  }
  if (name == ".git") take_leads(leads_.of_work_tree(directory));
  if (node.folder == &git_folder() && name == "config" && S_ISREG(entry.status.st_mode))
    take_leads(leads_.of_git(directory, made ? "" : *entry.text));
}

/// One after the other: one may lead to more.
void Guard::take_leads(const std::vector<Lead>& leads) {
  const bool busy = !waiting_.empty();
  waiting_.insert(waiting_.end(), leads.begin(), leads.end());
  for (; !busy && !waiting_.empty(); waiting_.pop_front()) take_lead(waiting_.front());
}

void Guard::take_lead(Lead lead) {
  const auto place = find_place(lead.path);
  // A tree itself is guarded as something else where git takes all its hooks from there alone.
  if (!place || (place->path.empty() && lead.folder != &hooks_folder())) return;
  // Where every file is guarded by its place nothing is added, and what is beneath stays guarded.
  const Folder* own = folder_at(place->tree, place->path, -1);
  if (lead.folder != nullptr && own != nullptr && find_name(*own, "pre-commit") != nullptr)
    lead.folder = nullptr;
  if (lead.rule == nullptr && lead.folder == nullptr) return;
  const auto added = indirect_.add(lead);
  if (added == Indirect::Added::full)
    complain("guard: configurations and symlinks lead to more than can be guarded");
  if (added != Indirect::Added::yes) return;
  const std::string parent = parent_in_tree(place->path), name(path_name(lead.path));
  UniqueFd above = open_place(place->tree, parent);
  const Folder* kind = above.valid() ? folder_at(place->tree, parent, above.get()) : nullptr;
  if (kind == nullptr) return;
  const Node node{place->tree, parent, kind, 0, 0, {}};
  // What takes its place is an event of the directory.
  if (!ending_ && !watches_.contains(full_path(place->tree, parent)))
    watch({place->tree, parent}, above.get(), *kind);
  if (lead.rule != nullptr && watching_) {
    look(node, above.get(), name);
  } else if (lead.rule != nullptr) {
    const auto entry = look_at(above.get(), name);
    if (entry && !S_ISDIR(entry->status.st_mode)) before_[lead.path] = before_from(*entry);
    if (entry && S_ISREG(entry->status.st_mode)) watch_file(node, above.get(), name);
  }
  if (lead.folder == nullptr) return;
  const Place at{place->tree, place->path, false, lead.folder == &hooks_folder()};
  // While the sandbox runs, only what is older than it was there before.
  if (watching_) visit(at);
  if (!watching_) followed_.push_back(at);
}

/// Before the start: the directories that leads are to.
void Guard::remember_followed() {
  while (!followed_.empty()) {
    for (const Place& place : std::exchange(followed_, {})) {
      UniqueFd directory = open_place(place.tree, place.path);
      const Folder* folder = folder_at(place.tree, place.path, directory.get());
      if (directory.valid() && folder != nullptr && watch(place, directory.get(), *folder))
        snapshot({place.tree, place.path, folder, 0, 0, {}}, directory.get());
    }
  }
}

/// What kind of directory `path` is: by what leads to it, or from the nearest one above it that is
/// watched.
const Folder* Guard::folder_at(std::size_t tree, const std::string& path, int directory) const {
  const Folder* folder = nullptr;
  std::string at = path;
  std::vector<std::string> rest;
  for (;;) {
    const std::string full = full_path(tree, at);
    folder = indirect_.folder_at(full);
    if (folder != nullptr && rest.empty()) return folder;
    auto found = watches_.find(full);
    if (folder == nullptr && found != watches_.end() && !rest.empty())
      folder = nodes_.at(found->second).folder;
    if (folder != nullptr || at.empty()) break;
    const std::size_t slash = at.rfind('/');
    rest.push_back(at.substr(slash == at.npos ? 0 : slash + 1));
    at = slash == at.npos ? "" : at.substr(0, slash);
  }
  if (folder == nullptr) {
    const std::string_view name = path_name(spec_.trees[tree]);
    folder = is_special(tree_folder(), name) ? find_folder(tree_folder(), name) : &tree_folder();
  }
  for (auto name = rest.rbegin(); folder != nullptr && name != rest.rend(); ++name)
    folder = &folder_in(*folder, *name);
  if (folder != nullptr && folder->open && is_git_directory(directory)) return &git_folder();
  return folder;
}

/// The rule of a name: that of its directory, of what leads to it or through it, or of a pattern.
const NameRule* Guard::rule_of(const Node& node, const std::string& name) const {
  const NameRule* rule = find_name(*node.folder, name);
  if (rule != nullptr || (indirect_.empty() && held_.empty())) return rule;
  const std::string path = full_name(node, name);
  rule = indirect_.rule_at(path);
  if (rule == nullptr && indirect_.leads_beneath(path)) rule = &kOnTheWay;
  if (rule == nullptr && !held_.empty() && held_.holds(path)) return &kHeld;
  return rule;
}

/// What is guarded by its path once more.
void Guard::look_at_led() {
  std::vector<std::string> paths;
  for (const auto& [path, rule] : indirect_.files()) paths.push_back(path);
  for (const std::string& path : paths) {
    const auto place = find_place(path_parent(path));
    if (!place) continue;
    UniqueFd directory = open_place(place->tree, place->path);
    if (!directory.valid()) continue;
    const Folder* folder = folder_at(place->tree, place->path, directory.get());
    if (folder == nullptr) continue;
    look({place->tree, place->path, folder, 0, 0, {}}, directory.get(),
         std::string(path_name(path)));
  }
}

}  // namespace dirbox::guard
