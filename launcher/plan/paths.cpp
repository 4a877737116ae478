#include "launcher/plan/paths.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox::plan {
namespace {

std::string where(const profiles::Entry& entry) {
  return entry.origin.text() + ": \"" + escape_for_terminal(entry.text) + "\"";
}

/// True for text that names something inside the work tree: it cannot be a reason to refuse the
/// work tree itself.
bool is_inside_work_tree(const std::string& text) {
  return text.starts_with("${CWD}") || text.starts_with("${PROJECT}");
}

}  // namespace

std::string_view access_name(PathAccess access) {
  constexpr std::string_view kNames[] = {"hide", "protect", "write", "read"};
  return kNames[static_cast<int>(access)];
}

Result<std::string> expand_path(const profiles::Entry& entry, const Places& places) {
  struct Variable {
    std::string_view mark;
    const std::string& value;
  };
  const Variable variables[] = {{"${CWD}", places.cwd},
                                {"${HOME}", places.home},
                                {"${PROJECT}", places.project},
                                {"~", places.home}};
  std::string_view text = entry.text;
  std::string path;
  for (const Variable& variable : variables) {
    if (!text.starts_with(variable.mark)) continue;
    std::string_view rest = text.substr(variable.mark.size());
    if (!rest.empty() && rest.front() != '/') break;
    path = variable.value + std::string(rest);
    break;
  }
  if (path.empty() && text.starts_with('/')) path = text;
  if (path.empty() || path.find("${") != std::string::npos) {
    return fail("read a path", where(entry), "not absolute",
                "start it with /, ~, ${CWD}, ${HOME} or ${PROJECT}");
  }
  // ".." is left to the resolver: what it means depends on symlinks.
  return path;
}

std::string find_project(Resolver& resolver, const std::string& cwd, const std::string& home) {
  for (std::string at = cwd; at != "/" && !path_is_beneath(home, at); at = path_parent(at)) {
    if (resolver.resolve(path_join(at, ".git")).stat.type != FileType::missing) return at;
  }
  return cwd;
}

Result<void> RuleSet::add_profile(const profiles::Profile& profile) {
  // Write entries first: a symlink inside what the sandbox may write cannot lead to another grant.
  rules_.reserve(profile.hide.size() + profile.read.size() + profile.write.size() + 64);
  order_.reserve(rules_.capacity());
  for (const auto& entry : profile.hide) TRY_VOID(add(entry, PathAccess::hide));
  for (const auto& entry : profile.write) TRY_VOID(add(entry, PathAccess::write));
  for (const auto& entry : profile.protect) TRY_VOID(add(entry, PathAccess::protect));
  for (const auto& entry : profile.read) TRY_VOID(add(entry, PathAccess::read));
  return {};
}

Result<void> RuleSet::add_home(const profiles::Setting<profiles::HomeMode>& mode) {
  bool host = mode.value == profiles::HomeMode::host;
  profiles::Entry entry;
  entry.text = "~";
  entry.origin = mode.origin;
  return add(entry, host ? PathAccess::write : PathAccess::read);
}

Result<void> RuleSet::add(const profiles::Entry& entry, PathAccess access) {
  std::string path = TRY(expand_path(entry, places_));
  if (access == PathAccess::hide) return add_hidden(entry, path);
  Resolver::Resolution found = resolver_.resolve(path);
  if (found.stat.err == ELOOP) return fail_errno("resolve a path", where(entry), ELOOP);
  if (found.stat.type == FileType::missing) {
    if (entry.create) {
      plan_.missing_directories.push_back(found.path);
    } else if (!entry.optional && access != PathAccess::protect) {
      return fail_errno("grant a path", where(entry), found.stat.err,
                        fmt::format("if it may be absent, write \"?{}\"", entry.text));
    }
    return {};
  }
  if (!TRY(check_grant(entry, path, found, access))) return {};
  keep_links(found);
  if (access == PathAccess::write) writable_.push_back(found.path);
  put({found.path, entry.text, access, found.stat.type, entry.origin});
  return {};
}

Result<void> RuleSet::add_hidden(const profiles::Entry& entry, const std::string& path) {
  Resolver::Resolution found = resolver_.resolve(path);
  // The link and what it leads to are the same secret (~/.gnupg -> ~/dotfiles/gnupg).
  for (const Resolver::Hop& hop : found.hops) {
    if (path_is_beneath(hop.path, path_parent(path)) && path_name(hop.path) == path_name(path)) {
      put({hop.path, entry.text, PathAccess::hide, FileType::symlink, entry.origin});
    }
  }
  PathRule rule{found.path, entry.text, PathAccess::hide, found.stat.type, entry.origin};
  if (found.stat.type == FileType::regular && found.stat.links > 1) {
    plan_.warnings.push_back(
        {fmt::format("{} has {} hard links: another name of it inside a grant would show it",
                     escape_for_terminal(found.path), found.stat.links),
         entry.origin});
  }
  put(rule);
  if (rule.type != FileType::missing) add_aliases(rule);
  return {};
}

/// The same directory may be mounted at several places of the host (bind mounts, btrfs subvolumes):
/// what is hidden at one is hidden at all.
void RuleSet::add_aliases(const PathRule& rule) {
  const MountPoint* holder = nullptr;
  for (const MountPoint& mount : facts_.mounts) {
    if (path_is_beneath(rule.path, mount.point) &&
        (holder == nullptr || mount.point.size() >= holder->point.size())) {
      holder = &mount;
    }
  }
  if (holder == nullptr) return;
  std::string inner =
      path_normalize(path_join(holder->root, path_relative(rule.path, holder->point)));
  for (const MountPoint& mount : facts_.mounts) {
    if (&mount == holder || mount.device != holder->device || mount.point == holder->point)
      continue;
    if (!path_is_beneath(inner, mount.root)) continue;
    std::string alias = path_normalize(path_join(mount.point, path_relative(inner, mount.root)));
    if (alias != rule.path && facts_.files->stat(alias).type != FileType::missing) {
      put({alias, rule.text, PathAccess::hide, rule.type, rule.origin});
    }
  }
}

/// A grant of the command line at or beneath a hidden path. Equal paths: hiding wins, so the option
/// would do nothing. Beneath: the longer path wins, and opens a part of what is hidden.
Result<void> RuleSet::check_option(const profiles::Entry& entry, const PathRule& hidden,
                                   const std::string& path) {
  const std::string by =
      fmt::format("{} hides {}", hidden.origin.text(), escape_for_terminal(hidden.path));
  if (path == hidden.path) {
    return fail(entry.origin.text(), escape_for_terminal(entry.text), by,
                fmt::format("hiding wins; a profile of your own can drop it: [filesystem] hide = "
                            "[\"-{}\"]",
                            escape_for_terminal(hidden.text)));
  }
  plan_.warnings.push_back(
      {fmt::format("{} is granted although {}", escape_for_terminal(path), by), entry.origin});
  return {};
}

Result<bool> RuleSet::check_grant(const profiles::Entry& entry, const std::string& path,
                                  const Resolver::Resolution& found, PathAccess access) {
  auto refuse = [&](const std::string& why) -> Result<bool> {
    if (!entry.optional) {
      return fail(fmt::format("grant {} access", access_name(access)), where(entry), why,
                  "name the real path if that is what you mean");
    }
    plan_.warnings.push_back(
        {fmt::format("{}: not granted: {}", escape_for_terminal(entry.text), why), entry.origin});
    return false;
  };
  for (const Resolver::Hop& hop : found.hops) {
    for (const std::string& writable : writable_) {
      if (hop.path != writable && path_is_beneath(hop.path, writable)) {
        return refuse(
            fmt::format("the symlink {} on the way lies in a writable tree, where the sandbox "
                        "can point it anywhere",
                        escape_for_terminal(hop.path)));
      }
    }
  }
  if (is_inside_work_tree(entry.text) &&
      !path_is_beneath(found.path,
                       entry.text.starts_with("${CWD}") ? places_.cwd : places_.project)) {
    return refuse("a symlink leads out of the work tree, to " + escape_for_terminal(found.path));
  }
  const PathRule* rule = decide(found.path);
  // A symlink into a hidden tree does not open it, however long the path is that it leads to.
  if (rule != nullptr && rule->access == PathAccess::hide && !found.hops.empty() &&
      !path_is_beneath(path_normalize(path), rule->path)) {
    return refuse(fmt::format("a symlink leads into {}, which {} hides",
                              escape_for_terminal(rule->path), rule->origin.text()));
  }
  if (rule != nullptr && rule->access == PathAccess::hide && entry.origin.line == 0) {
    TRY_VOID(check_option(entry, *rule, found.path));
  }
  return true;
}

bool RuleSet::add_found(const std::string& path, const std::string& why) {
  Resolver::Resolution found = resolver_.resolve(path);
  if (found.stat.type == FileType::missing) return false;
  const PathRule* rule = decide(found.path);
  if (rule != nullptr && rule->access == PathAccess::hide) return false;
  keep_links(found);
  if (rule != nullptr) return true;
  if (hides_beneath(found.path) && found.stat.type == FileType::directory) return false;
  put({found.path, why, PathAccess::read, found.stat.type, Origin{why, 0, 0}});
  plan_.notes.push_back(
      {fmt::format("{} is readable: {}", escape_for_terminal(found.path), why), {}});
  return true;
}

void RuleSet::keep_links(const Resolver::Resolution& resolution) {
  for (const Resolver::Hop& hop : resolution.hops) {
    bool known = std::any_of(links_.begin(), links_.end(),
                             [&](const Resolver::Hop& link) { return link.path == hop.path; });
    if (!known) links_.push_back(hop);
  }
}

std::size_t RuleSet::lower_bound(std::string_view path) const {
  auto at = std::lower_bound(
      order_.begin(), order_.end(), path,
      [this](std::uint32_t index, std::string_view p) { return rules_[index].path < p; });
  return static_cast<std::size_t>(at - order_.begin());
}

const PathRule* RuleSet::find(std::string_view path) const {
  const std::size_t at = lower_bound(path);
  const bool found = at < order_.size() && rules_[order_[at]].path == path;
  return found ? &rules_[order_[at]] : nullptr;
}

void RuleSet::put(PathRule rule) {
  const std::size_t at = lower_bound(rule.path);
  if (at == order_.size() || rules_[order_[at]].path != rule.path) {
    order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(at),
                  static_cast<std::uint32_t>(rules_.size()));
    rules_.push_back(std::move(rule));
  } else if (PathRule& old = rules_[order_[at]]; rule.access < old.access) {
    old = std::move(rule);
  }
}

void RuleSet::sort() {
  std::vector<PathRule> sorted;
  sorted.reserve(rules_.size());
  for (std::uint32_t index : order_) sorted.push_back(std::move(rules_[index]));
  rules_ = std::move(sorted);
  std::iota(order_.begin(), order_.end(), 0U);
}

std::vector<PathRule> RuleSet::take() {
  order_.clear();
  return std::exchange(rules_, {});
}

const PathRule* RuleSet::decide(std::string_view path) const {
  for (std::string_view at = path;;) {
    if (const PathRule* rule = find(at)) return rule;
    const std::size_t slash = at.rfind('/');
    if (at == "/" || slash == at.npos) return nullptr;
    at = at.substr(0, std::max<std::size_t>(slash, 1));
  }
}

bool RuleSet::hides_beneath(std::string_view path) const {
  for (std::size_t at = lower_bound(path); at < order_.size(); ++at) {
    const PathRule& rule = rules_[order_[at]];
    if (!rule.path.starts_with(path)) break;
    if (rule.access == PathAccess::hide && path_is_beneath(rule.path, path) &&
        !is_inside_work_tree(rule.text)) {
      return true;
    }
  }
  return false;
}

}  // namespace dirbox::plan
