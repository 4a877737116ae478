#include <sys/stat.h>

#include "launcher/base/path.h"
#include "launcher/guard/git_config.h"
#include "launcher/guard/guard.h"

// What a git configuration that was there before the start leads to within the trees is guarded as
// well: a hooks directory of another name, files that it includes. New keys of the kind are undone.

namespace dirbox::guard {
namespace {

constexpr NameRule kIncluded{"", What::config, "git's configuration includes it"};
constexpr NameRule kHeld{"", What::whole, "a pattern that is hidden or protected names it"};
constexpr int kMostIncludes = 8;  // git stops at 10 within each other

}  // namespace

/// The tree that holds `path`, and the path within it; nullopt for one outside.
std::optional<Guard::Place> Guard::find_place(const std::string& path) const {
  for (std::size_t tree = 0; tree < spec_.trees.size(); ++tree) {
    if (path_is_beneath(path, spec_.trees[tree]))
      return Place{tree, std::string(path_relative(path, spec_.trees[tree])), false};
  }
  return std::nullopt;
}

/// `text` is that of a configuration in the directory `directory` (absolute); relative paths of
/// hooks are from the work tree, `top`.
void Guard::follow_config(const std::string& text, const std::string& directory,
                          const std::string& top, int depth) {
  const auto config = parse_git_config(text);
  if (!config) return;
  for (const ConfigEntry& entry : config->entries) {
    if (entry.key == "core.hookspath") {
      const std::string path = path_normalize(path_join(top, entry.value));
      const auto place = find_place(path);
      if (place) follow_hooks(*place);
    } else if (entry.key == "include.path" ||
               (entry.key.starts_with("includeif.") && entry.key.ends_with(".path"))) {
      const auto place = find_place(path_normalize(path_join(directory, entry.value)));
      if (place && depth < kMostIncludes) include_file(*place, top, depth);
    }
  }
}

void Guard::follow_hooks(const Place& place) {
  const std::string path = full_path(place.tree, place.path);
  if (!hooks_.insert(path).second) return;
  indirect_.hooks.push_back(path);
  // While the sandbox runs, only what is older than it was there before.
  if (watching_) return followed_.push_back({place.tree, place.path, false, true});
  UniqueFd fd = open_place(place.tree, place.path);
  if (fd.valid() && watch(place, fd.get(), hooks_folder()))
    snapshot({place.tree, place.path, &hooks_folder(), 0, 0, {}}, fd.get());
}

void Guard::include_file(const Place& place, const std::string& top, int depth) {
  const std::string path = full_path(place.tree, place.path);
  if (place.path.empty() || !included_.insert(path).second) return;
  indirect_.included.push_back(path);
  const std::string parent = parent_in_tree(place.path);
  const std::string name(path_name(path));
  UniqueFd directory = open_place(place.tree, parent);
  if (!directory.valid()) return;
  const Node node{place.tree, parent, &tree_folder(), 0, 0, {}};
  if (watching_) look(node, directory.get(), name);
  const auto entry = look_at(directory.get(), name);
  if (!entry || (watching_ && !before_.contains(path))) return;
  if (!watching_) {
    before_[path] = before_from(*entry);
    watch_file(node, directory.get(), name);
  }
  if (entry->text) follow_config(*entry->text, path_parent(path), top, depth + 1);
}

/// Where a guarded name that is a symlink leads to, within the trees.
void Guard::note_link(const std::string& directory, const std::string& target, Paths& paths) const {
  std::string path = path_normalize(path_join(directory, target));
  if (const auto place = find_place(path); place && !place->path.empty())
    paths.push_back(std::move(path));
}

/// The rule of a name: that of its directory, of a file that a configuration includes, or of a
/// pattern.
const NameRule* Guard::rule_of(const Node& node, const std::string& name) const {
  const NameRule* rule = find_name(*node.folder, name);
  if (rule == nullptr && !included_.empty() && included_.contains(full_name(node, name)))
    return &kIncluded;
  if (rule == nullptr && !held_.empty() && held_.holds(full_name(node, name))) return &kHeld;
  return rule;
}

/// Those files once more.
void Guard::look_at_included() {
  for (const std::string& path : included_) {
    const auto place = find_place(path_parent(path));
    if (!place) continue;
    UniqueFd directory = open_place(place->tree, place->path);
    if (!directory.valid()) continue;
    look({place->tree, place->path, &tree_folder(), 0, 0, {}}, directory.get(),
         std::string(path_name(path)));
  }
}

}  // namespace dirbox::guard
