#include "launcher/plan/tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/plan/skeleton.h"
#include "launcher/plan/synced.h"

namespace dirbox::plan {
namespace {

using sandbox::Access;
using sandbox::Mount;
using sandbox::MountKind;

constexpr std::uint64_t kMaxCopy = 8 << 10;  // bytes: above, a mount costs less
constexpr std::size_t kMaxMounts = 4096;     // fs.mount-max leaves 100 000; a start must stay quick

class Tree {
 public:
  Tree(Resolver& resolver, const RuleSet& rules, Plan& plan)
      : resolver_(resolver), rules_(rules), plan_(plan) {}

  Result<void> build() {
    for (const PathRule& rule : rules_.rules()) {
      TRY_VOID(place(rule));
      if (plan_.spec.mounts.size() > kMaxMounts) {
        return fail("compile the file tree", rule.origin.text(),
                    fmt::format("more than {} mounts", kMaxMounts),
                    "hide the directory instead of single files in it");
      }
    }
    place_links();
    return {};
  }

 private:
  /// The mount that shows `path` at this point of the tree, if any.
  const Mount* cover_of(std::string_view path) const {
    const Mount* best = nullptr;
    for (const Mount& mount : plan_.spec.mounts) {
      if (mount.kind != MountKind::bind && mount.kind != MountKind::mask &&
          mount.kind != MountKind::tmpfs) {
        continue;
      }
      if (path_is_beneath(path, mount.target) &&
          (best == nullptr || mount.target.size() >= best->target.size())) {
        best = &mount;
      }
    }
    return best != nullptr && best->kind == MountKind::tmpfs ? nullptr : best;
  }

  Result<void> place(const PathRule& rule) {
    if (rule.access == PathAccess::hide) return place_hidden(rule);
    const Mount* cover = cover_of(rule.path);
    bool covered = cover != nullptr && cover->kind == MountKind::bind;
    bool writable = rule.access == PathAccess::write;
    // With nothing there it has taken the place of the rule that let the same path be written.
    if (rule.access == PathAccess::protect && cover != nullptr && !covered) return {};
    if (covered && !rule.mounted && (cover->writable == writable || rule.type == FileType::socket))
      return {};
    if (!writable && !covered && rule.type == FileType::directory && has_gaps(rule.path)) {
      return expand(rule, rule.path, resolver_.resolve(rule.path).stat);
    }
    FileStat stat = resolver_.resolve(rule.path).stat;
    if (!covered && is_small_config(rule.path, stat)) return expand(rule, rule.path, stat);
    bind(rule, rule.path, stat);
    return {};
  }

  /// True when what is beneath `path` inside is not all that the host has there.
  bool has_gaps(std::string_view path) const {
    return rules_.hides_beneath(path) || rules_.own().lies_above(path);
  }

  /// Copies belong to the own uid, which ssh(1) wants of the files that its configuration includes.
  bool is_small_config(const std::string& path, const FileStat& stat) const {
    constexpr std::size_t kFew = 32;
    if (stat.type != FileType::directory || !path_is_beneath(path, "/etc/ssh")) return false;
    std::vector<Child> children = resolver_.files().list(path);
    return children.size() <= kFew &&
           std::all_of(children.begin(), children.end(), [](const Child& child) {
             return child.type == FileType::regular || child.type == FileType::symlink;
           });
  }

  Result<void> place_hidden(const PathRule& rule) {
    if (rule.type == FileType::missing || rule.type == FileType::symlink) return {};
    const Mount* cover = cover_of(rule.path);
    if (cover == nullptr || cover->kind == MountKind::mask) return {};
    if (rule.type == FileType::directory && grants_beneath(rule.path)) {
      Mount empty;
      empty.kind = MountKind::tmpfs;
      empty.target = rule.path;
      empty.size = 64 << 10;
      empty.mode = 0555;
      empty.in_root = false;
      empty.id = resolver_.resolve(rule.path).stat.id;
      empty.origin = rule.origin;
      plan_.spec.mounts.push_back(empty);
      return {};
    }
    Mount mask;
    mask.kind = MountKind::mask;
    mask.target = rule.path;
    mask.is_directory = rule.type == FileType::directory;
    mask.in_root = false;
    mask.id = resolver_.resolve(rule.path).stat.id;
    mask.origin = rule.origin;
    plan_.spec.mounts.push_back(mask);
    return {};
  }

  bool grants_beneath(const std::string& path) const {
    return std::any_of(rules_.rules().begin(), rules_.rules().end(), [&](const PathRule& rule) {
      return rule.access != PathAccess::hide && rule.path != path &&
             path_is_beneath(rule.path, path);
    });
  }

  void bind(const PathRule& rule, const std::string& path, const FileStat& stat) {
    Mount mount;
    mount.in_root = cover_of(path) == nullptr;
    // Small files of /etc cost less as copies than as mounts, and belong to the own uid then, which
    // ssh(1) wants of its configuration.
    // Not what the caller may be unable to read: a mount stays closed by its mode.
    const bool readable = (stat.mode & 0444) == 0444;
    if (stat.type == FileType::regular && rule.access == PathAccess::read && mount.in_root &&
        readable && stat.size <= kMaxCopy && path_is_beneath(path, "/etc")) {
      mount.kind = MountKind::copy;
      mount.mode = 0444;
    }
    if (rule.copy && path == rule.path && mount.in_root && is_in_private(path)) {
      mount.kind = MountKind::copy;
      mount.mode = 0600;
    }
    mount.target = mount.source = path;
    mount.id = stat.id;
    mount.is_directory = stat.type == FileType::directory;
    mount.writable = rule.access == PathAccess::write;
    mount.origin = rule.origin;
    plan_.spec.mounts.push_back(mount);
    if (mount.kind == MountKind::bind && (mount.writable || !path_is_beneath(path, "/etc"))) {
      plan_.spec.landlock_rules.push_back({path, mount.writable ? Access::write : Access::read});
    }
  }

  /// True beneath a file system that the command can write and that ends with the sandbox.
  bool is_in_private(std::string_view path) const {
    return std::any_of(plan_.spec.mounts.begin(), plan_.spec.mounts.end(), [&](const Mount& mount) {
      return mount.kind == MountKind::tmpfs && path_is_beneath(path, mount.target);
    });
  }

  /// `directory` again, with every child that no rule hides.
  Result<void> expand(const PathRule& rule, const std::string& directory, const FileStat& stat) {
    Mount made;
    made.kind = MountKind::directory;
    made.target = directory;
    made.mode = stat.mode & 0777;
    made.origin = rule.origin;
    plan_.spec.mounts.push_back(made);
    plan_.spec.landlock_rules.push_back({directory, Access::list});
    std::vector<Child> children = resolver_.files().list(directory);
    std::sort(children.begin(), children.end(),
              [](const Child& a, const Child& b) { return a.name < b.name; });
    if (plan_.spec.mounts.size() + children.size() > kMaxMounts) {
      return fail("compile the file tree", rule.origin.text(),
                  fmt::format("{} has {} entries to mount one by one",
                              escape_for_terminal(directory), children.size()),
                  "grant the subdirectories that are needed");
    }
    for (const Child& child : children) {
      std::string path = path_join(directory, child.name);
      const PathRule* decided = rules_.decide(path);
      if (decided != nullptr && decided->access == PathAccess::hide) continue;
      if (decided != nullptr && decided->path == path) continue;  // has a mount of its own
      if (rules_.own().is_own(path)) continue;
      FileStat child_stat = resolver_.files().stat(path);
      if (child_stat.type == FileType::symlink) {
        Mount link;
        link.kind = MountKind::symlink;
        link.target = path;
        link.source = resolver_.files().link_text(path);
        link.origin = rule.origin;
        plan_.spec.mounts.push_back(link);
      } else if (child_stat.type == FileType::directory && has_gaps(path)) {
        TRY_VOID(expand(rule, path, child_stat));
      } else if (child_stat.type == FileType::directory || child_stat.type == FileType::regular) {
        bind(rule, path, child_stat);
      }  // sockets, FIFOs and devices do not appear: nobody granted them by name
    }
    return {};
  }

  /// Symlinks that lead to grants, where no mount shows them already.
  void place_links() {
    for (const Resolver::Hop& hop : rules_.links()) {
      if (cover_of(hop.path) != nullptr) continue;
      const PathRule* rule = rules_.decide(hop.path);
      if (rule != nullptr && rule->access == PathAccess::hide) continue;
      bool placed = std::any_of(plan_.spec.mounts.begin(), plan_.spec.mounts.end(),
                                [&](const Mount& mount) { return mount.target == hop.path; });
      if (placed) continue;
      Mount link;
      link.kind = MountKind::symlink;
      link.target = hop.path;
      link.source = hop.text;
      plan_.spec.mounts.push_back(link);
    }
  }

  Resolver& resolver_;
  const RuleSet& rules_;
  Plan& plan_;
};

/// What is made is made in a file system of the sandbox, never in the host's, and in one to which
/// no hostile tree leads unnoticed.
Result<void> check_places(Plan& plan) {
  std::unordered_map<std::string_view, const Mount*> covers;
  for (Mount& mount : plan.spec.mounts) {
    bool nearest = true;
    for (std::string at = mount.target; mount.in_root; at = path_parent(at)) {
      if (auto found = covers.find(at); found != covers.end()) {
        if (nearest && found->second->kind != MountKind::tmpfs) {
          return fail(
              "compile the file tree", escape_for_terminal(mount.target),
              fmt::format("{} and {} want it", found->second->origin.text(), mount.origin.text()));
        }
        nearest = false;
        if (found->second->kind != MountKind::tmpfs) mount.beneath_bind = true;
      }
      if (at == "/") break;
    }
    const bool plain = mount.kind == MountKind::copy || mount.kind == MountKind::directory ||
                       mount.kind == MountKind::file || mount.kind == MountKind::symlink ||
                       mount.kind == MountKind::synced;
    if (!plain) covers[mount.target] = &mount;
  }
  return {};
}

}  // namespace

Result<void> compile_tree(const profiles::Profile& profile, const HostFacts& facts,
                          Resolver& resolver, const RuleSet& rules, Plan& plan) {
  TRY_VOID(add_private_directories(profile, facts, resolver, plan));
  TRY_VOID(Tree(resolver, rules, plan).build());
  place_synced(rules, plan);
  add_etc(facts, plan);
  TRY_VOID(add_devices(profile, facts, resolver, plan));
  add_proc(facts, plan);
  TRY_VOID(check_places(plan));
  plan.spec.landlock_rules.push_back({"/", Access::list});
  return {};
}

}  // namespace dirbox::plan
