#include "launcher/plan/synced.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox::plan {
namespace {

using sandbox::Mount;
using sandbox::MountKind;

/// The tmpfs that `path` lies in, if it is one that the command can write.
const Mount* private_around(const Plan& plan, std::string_view path) {
  const Mount* nearest = nullptr;
  for (const Mount& mount : plan.spec.mounts) {
    const bool covers = mount.kind == MountKind::bind || mount.kind == MountKind::mask ||
                        mount.kind == MountKind::tmpfs;
    if (covers && path_is_beneath(path, mount.target) &&
        (nearest == nullptr || mount.target.size() >= nearest->target.size())) {
      nearest = &mount;
    }
  }
  const bool fits = nearest != nullptr && nearest->kind == MountKind::tmpfs &&
                    (nearest->mode & 0200) != 0 && nearest->target != path;
  return fits ? nearest : nullptr;
}

void add_directory(Plan& plan, const std::string& path, const Mount& around, const Origin& origin) {
  if (path != around.target) {
    Mount directory;
    directory.kind = MountKind::directory;
    directory.target = path;
    directory.origin = origin;
    plan.spec.mounts.push_back(std::move(directory));
  }
}

}  // namespace

Result<void> RuleSet::add_synced(const profiles::Entry& entry) {
  const std::string shown = entry.origin.text() + ": \"" + escape_for_terminal(entry.text) + "\"";
  const std::string path = TRY(expand_path(entry, places_));
  const Resolver::Resolution found = resolver_.resolve(path);
  const FileType type = found.stat.type;
  if (type == FileType::missing && (!entry.optional || found.stat.err == ELOOP)) {
    if (entry.optional) return {};
    return fail_errno("sync a file", shown, found.stat.err,
                      fmt::format("if it may be absent, write \"?{}\"", entry.text));
  }
  if (type != FileType::missing && type != FileType::regular) {
    return fail("sync a file", shown, "it is not a regular file",
                "list a directory under read or write");
  }
  if (!TRY(check_grant(entry, path, found, PathAccess::read))) return {};
  keep_links(found);
  if (type == FileType::regular)
    put({found.path, entry.text, PathAccess::read, type, entry.origin, false, true});
  sync::File file{found.path, found.path, entry.origin};
  for (const Resolver::Hop& hop : found.hops) {
    if (!hop.last) continue;
    file.link = hop.path;
    break;
  }
  std::vector<sync::File>& files = plan_.sync.files;
  const bool known = std::any_of(files.begin(), files.end(),
                                 [&](const sync::File& f) { return f.path == file.path; });
  if (known) return {};
  if (files.size() == sync::Spec::kMaxFiles) {
    return fail("sync a file", shown,
                fmt::format("more than {} such files", sync::Spec::kMaxFiles));
  }
  files.push_back(std::move(file));
  return {};
}

void place_synced(const RuleSet& rules, Plan& plan) {
  std::vector<sync::File> kept;
  for (sync::File& file : plan.sync.files) {
    const PathRule* rule = rules.decide(file.path);
    if (rule != nullptr && rule->access == PathAccess::hide) continue;
    const Mount* around = private_around(plan, file.path);
    if (around == nullptr) continue;
    const Mount* other = private_around(plan, file.link);
    if (other == nullptr) file.link = file.path;
    const Mount home = *around, link_home = other != nullptr ? *other : *around;
    std::erase_if(plan.spec.mounts, [&](const Mount& mount) {
      return mount.kind == MountKind::copy && mount.target == file.path;
    });
    add_directory(plan, path_parent(file.path), home, file.origin);
    if (path_parent(file.link) != path_parent(file.path))
      add_directory(plan, path_parent(file.link), link_home, file.origin);
    Mount mount;
    mount.kind = MountKind::synced;
    mount.target = file.path;
    mount.is_directory = false;
    mount.mode = 0600;
    mount.origin = file.origin;
    plan.spec.mounts.push_back(std::move(mount));
    kept.push_back(std::move(file));
  }
  plan.sync.files = std::move(kept);
  plan.spec.shared_directories = sync::directories_of(plan.sync);
  if (plan.sync.files.empty()) return;
  plan.sync.here = {plan.cwd};
  if (plan.project != plan.cwd) plan.sync.here.push_back(plan.project);
}

}  // namespace dirbox::plan
