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

/// The length of the variable that `text` begins with.
std::size_t variable_size(std::string_view text) {
  return text.starts_with("${") ? text.find('}') + 1 : 0;
}

/// Whether what shells know as a wildcard, and a Glob does not, begins in the component that `rest`
/// begins with.
bool has_other_wildcard(std::string_view rest) {
  const std::string_view name = rest.substr(0, rest.find('/'));
  auto opens = [&](char open, char close) {
    const std::size_t at = name.find(open);
    return at != name.npos && rest.find(close, at) != rest.npos;
  };
  return name.find('?') != name.npos || opens('[', ']') || opens('{', '}');
}

bool exists(Resolver& resolver, const std::string& path) {
  const std::string parent = resolver.resolve(path_parent(path)).path;
  return resolver.files().stat(path_join(parent, path_name(path))).type != FileType::missing;
}

/// The component of `path` with such a wildcard in it, where it is not the name of something. What
/// follows a `*` is not looked for.
std::string_view find_other_wildcard(Resolver& resolver, const std::string& path) {
  bool known = true;
  for (const std::string_view name : path_components(path)) {
    const auto begin = static_cast<std::size_t>(name.data() - path.data());
    known = known && !is_glob(name);
    if (has_other_wildcard(std::string_view(path).substr(begin)) &&
        (!known || !exists(resolver, path.substr(0, begin + name.size()))))
      return name;
  }
  return {};
}

/// `text` in the wildcards that there are: an entry for each alternative of its first braces, and
/// `*` for the others.
std::vector<std::string> rewrite(std::string_view text) {
  constexpr std::ptrdiff_t kMostAlternatives = 8;
  std::size_t at = variable_size(text);
  std::vector<std::string> out{std::string(text.substr(0, at))};
  while (at < text.size()) {
    const char c = text[at];
    const std::size_t end = c == '[' ? text.find(']', at) : c == '{' ? text.find('}', at) : at;
    const bool wild = end != text.npos && (c == '?' || end != at);
    const std::string_view inner = wild && end != at ? text.substr(at + 1, end - at - 1) : "";
    if (c == '{' && wild && out.size() == 1 &&
        std::count(inner.begin(), inner.end(), ',') < kMostAlternatives) {
      const std::string before = std::move(out.front());
      out.clear();
      for (std::size_t i = 0, comma = 0; comma != inner.npos; i = comma + 1) {
        comma = inner.find(',', i);
        out.push_back(before + std::string(inner.substr(i, comma - i)));
      }
    } else {
      for (std::string& one : out) one += wild ? '*' : c;
    }
    at = wild ? end + 1 : at + 1;
  }
  return out;
}

}  // namespace

/// `{a,b}`, `[ab]` and `?` stand for themselves, which whoever wrote them may not know: one that
/// names nothing would hide nothing, unseen.
Result<void> RuleSet::check_wildcards(const profiles::Entry& entry, PathAccess access) {
  if (entry.text.find_first_of("?[{", variable_size(entry.text)) == entry.text.npos) return {};
  const std::string path = TRY(expand_path(entry, places_));
  const std::string_view name = find_other_wildcard(resolver_, path);
  if (name.empty()) return {};
  const std::string shown = escape_for_terminal(entry.text);
  const std::string why = fmt::format("nothing has the name {}, and only * and ** are wildcards",
                                      escape_for_terminal(name));
  std::string hint = "write";
  for (const std::string& one : rewrite(entry.text))
    hint += fmt::format("{} \"{}\"", hint == "write" ? "" : ",", escape_for_terminal(one));
  if (entry.optional) {
    plan_.warnings.push_back({fmt::format("{}: {}: {}", shown, why, hint), entry.origin});
    return {};
  }
  if (entry.origin.line != 0)
    hint += fmt::format("; if that is its name and it may be absent, \"?{}\"", shown);
  return fail(fmt::format("{} a path", access_name(access)),
              fmt::format("{}: \"{}\"", entry.origin.text(), shown), why, hint);
}

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
  std::size_t taken = 0, listed = 0, named = 0;
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
    named += found->paths.size();
    plan_.guard.globs.push_back(std::move(pattern));
  }
  if (named == 0) TRY_VOID(check_wildcards(entry, access));
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
