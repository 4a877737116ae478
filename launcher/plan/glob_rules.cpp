#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/glob.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/plan/glob_search.h"
#include "launcher/plan/paths.h"

namespace dirbox::plan {
namespace {

/// With its directories before the first wildcard as they are without symlinks.
std::string resolve_beginning(Resolver& resolver, const std::string& pattern) {
  const std::size_t slash = pattern.rfind('/', pattern.find('*'));
  if (slash == pattern.npos || slash == 0) return pattern;
  return path_join(resolver.resolve(pattern.substr(0, slash)).path, pattern.substr(slash + 1));
}

std::string counts(std::size_t taken, std::size_t listed) {
  return fmt::format("{} {}, {} {} looked through", taken, taken == 1 ? "match" : "matches", listed,
                     listed == 1 ? "directory" : "directories");
}

}  // namespace

/// The outermost paths that something grants: elsewhere there is nothing to hide.
std::vector<std::string> RuleSet::granted_roots() const {
  std::vector<std::string> all, roots;
  for (const PathRule& rule : rules_) {
    if (rule.access != PathAccess::hide && rule.type != FileType::missing) all.push_back(rule.path);
  }
  // Shorter ones first: what a path lies in comes before it.
  std::sort(all.begin(), all.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  for (std::string& path : all) {
    const bool within = std::any_of(roots.begin(), roots.end(), [&](const std::string& root) {
      return path_is_beneath(path, root);
    });
    if (!within) roots.push_back(std::move(path));
  }
  return roots;
}

/// Returns how many there were that something grants.
Result<std::size_t> RuleSet::take_matches(const profiles::Entry& entry, PathAccess access,
                                          const std::vector<std::string>& paths) {
  std::size_t taken = 0;
  for (const std::string& path : paths) {
    const PathRule* rule = decide(path);
    if (rule == nullptr || rule->access == PathAccess::hide) continue;
    // A sandbox may have made the symlink: to a directory, or to a file of the system, it would
    // take away what the next one needs.
    const Resolver::Resolution found = resolver_.resolve(path);
    const bool own = path_is_beneath(found.path, places_.home) || is_within_writable(found.path);
    if (!found.hops.empty() && (found.stat.type != FileType::regular || !own)) continue;
    ++taken;
    plan_.guard.matched.push_back(path);
    if (access == PathAccess::hide) {
      TRY_VOID(add_hidden(entry, path));
    } else {
      put({found.path, entry.text, PathAccess::protect, found.stat.type, entry.origin});
    }
  }
  return taken;
}

Result<void> RuleSet::add_glob(const profiles::Entry& entry, PathAccess access,
                               const std::vector<std::string>& roots) {
  const std::string shown = escape_for_terminal(entry.text);
  const std::string where = entry.origin.text() + ": \"" + shown + "\"";
  std::vector<std::string> patterns{TRY(expand_path(entry, places_))};
  if (entry.text.starts_with('~') && !places_.account_home.empty())
    patterns.push_back(places_.account_home + entry.text.substr(1));
  std::size_t taken = 0, listed = 0;
  for (std::string& pattern : patterns) {
    pattern = resolve_beginning(resolver_, pattern);
    if (plan_.guard.globs.size() == kMaxGlobs) {
      return fail("look for what a pattern names", where,
                  fmt::format("more than {} patterns", kMaxGlobs));
    }
    auto glob = Glob::parse(pattern);
    auto found = glob ? find_matches(resolver_.files(), *glob, roots)
                      : Result<GlobMatches>(Failure(glob.error()));
    if (!found) {
      Error error = found.error();
      error.operand = where + (error.operand.empty() ? "" : ": " + error.operand);
      return Failure(std::move(error));
    }
    taken += TRY(take_matches(entry, access, found->paths));
    if (!found->paths.empty()) hold(path_parent(pattern.substr(0, pattern.find('*') + 1)));
    listed += found->listed;
    plan_.guard.globs.push_back(std::move(pattern));
  }
  if (taken > 0) {
    plan_.notes.push_back({shown + ": " + counts(taken, listed), entry.origin});
  } else if (access == PathAccess::hide || !entry.optional) {
    plan_.warnings.push_back({shown + " matches nothing", entry.origin});
  }
  return {};
}

Result<void> RuleSet::add_globs(const profiles::Profile& profile) {
  const std::pair<const std::vector<profiles::Entry>*, PathAccess> lists[] = {
      {&profile.hide, PathAccess::hide}, {&profile.protect, PathAccess::protect}};
  std::vector<std::string> roots;
  for (const auto& [entries, access] : lists) {
    for (const profiles::Entry& entry : *entries) {
      if (!is_glob(entry.text)) continue;
      if (roots.empty()) roots = granted_roots();
      TRY_VOID(add_glob(entry, access, roots));
    }
  }
  return {};
}

}  // namespace dirbox::plan
