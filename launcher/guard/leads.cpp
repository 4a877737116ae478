#include "launcher/guard/leads.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/unique_fd.h"
#include "launcher/guard/entry.h"
#include "launcher/guard/git_config.h"

// A path in a configuration means what the kernel makes of it: ".." is resolved behind symlinks,
// and both the names on the way and where it ends are guarded. What is told too much guards a name
// that nobody executes; what is told too little is executed.

namespace dirbox::guard {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's MAXSYMLINKS

std::string_view without_end_of_line(std::string_view text) {
  const std::size_t end = text.find_last_not_of("\r\n");
  return end == text.npos ? std::string_view() : text.substr(0, end + 1);
}

/// The guarded paths of one that is named: itself, where it leads, and the symlinks on the way, in
/// whose place there can be a file or a directory.
void add_way(const Lead& lead, std::vector<Lead>& out) {
  Way way = follow_links(lead.path);
  for (std::string& link : way.through) out.push_back({std::move(link), &kOnTheWay, nullptr});
  const NameRule* rule = lead.rule != nullptr ? lead.rule : &kOnTheWay;
  for (std::string& link : way.names) out.push_back({std::move(link), rule, lead.folder});
  std::string path = path_normalize(lead.path);
  if (path != way.end) out.push_back({std::move(way.end), lead.rule, lead.folder});
  out.push_back({std::move(path), lead.rule, lead.folder});
}

}  // namespace

Way follow_links(const std::string& path) {
  Way out;
  std::vector<std::string> rest;  // the next one last
  auto put_before = [&](std::string_view text) {
    const auto parts = path_components(text);
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) rest.emplace_back(*part);
  };
  put_before(path);
  out.end = "/";
  for (int links = 0; !rest.empty();) {
    const std::string name = std::move(rest.back());
    rest.pop_back();
    if (name == "..") {
      out.end = path_parent(out.end);
      continue;
    }
    std::string next = path_join(out.end, name);
    char target[PATH_MAX];
    const ssize_t size = links < kMaxLinks ? ::readlink(next.c_str(), target, sizeof target) : -1;
    if (size <= 0) {
      out.end = std::move(next);
      continue;
    }
    const std::string_view text(target, static_cast<std::size_t>(size));
    if (text.starts_with('/')) out.end = "/";
    (rest.empty() ? out.names : out.through).push_back(std::move(next));
    put_before(text);
    ++links;
  }
  return out;
}

std::optional<std::string> read_plain(const std::string& path) {
  const UniqueFd file = open_straight(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return std::nullopt;
  auto text = read_fd(file.get(), kMaxKept, path);
  return text ? std::optional(std::move(*text)) : std::nullopt;
}

void Leads::read_file(const std::string& path, int depth, Found& found) const {
  if (const auto text = read_(follow_links(path).end))
    read_text(*text, path_parent(path), depth, found);
}

void Leads::read_text(std::string_view text, const std::string& directory, int depth,
                      Found& found) const {
  const auto config = parse_git_config(text);
  if (!config) return;  // git reads none of it either
  for (const ConfigEntry& entry : config->entries) {
    if (entry.value.empty()) continue;
    const std::string value =
        entry.value.starts_with("~/") ? path_join(home_, entry.value.substr(2)) : entry.value;
    auto add_to = [&](std::vector<std::string>& list) {
      if (list.size() < kMostFiles) list.push_back(value);
    };
    if (entry.key == "core.hookspath") add_to(found.hooks);
    if (entry.key == "init.templatedir") add_to(found.templates);
    if (entry.key == "core.worktree") add_to(found.worktrees);
    if (entry.key != "include.path" &&
        !(entry.key.starts_with("includeif.") && entry.key.ends_with(".path"))) {
      continue;
    }
    std::string path = path_join(directory, value);
    const bool again = std::find(found.files.begin(), found.files.end(), path) != found.files.end();
    if (again || depth == kMostDeep || found.files.size() >= kMostFiles) continue;
    found.files.push_back(path);
    read_file(path, depth + 1, found);
  }
}

std::vector<Lead> Leads::leads_of(const Found& found, std::vector<std::string> tops) const {
  std::vector<Lead> out;
  for (const std::string& path : found.files) add_way({path, &kIncluded, nullptr}, out);
  for (const std::string& path : found.templates) {
    if (path.starts_with('/')) add_way({path, nullptr, &git_folder()}, out);
  }
  for (const auto* hooks : {&found.hooks, &hooks_}) {
    for (const std::string& path : *hooks) {
      const bool absolute = path.starts_with('/');
      if (absolute) add_way({path, nullptr, &hooks_folder()}, out);
      for (std::size_t i = 0; i < tops.size() && !absolute; ++i)
        add_way({path_join(tops[i], path), nullptr, &hooks_folder()}, out);
    }
  }
  return out;
}

std::vector<Lead> Leads::of_host(const Spec& spec) {
  Found found;
  for (const std::string& path : spec.configs) {
    found.files.push_back(path);  // it can be a symlink into the trees, or be in one
    read_file(path, 0, found);
  }
  auto out = leads_of(found, {});
  hooks_ = std::move(found.hooks);
  hooks_.erase(std::remove_if(hooks_.begin(), hooks_.end(),
                              [](const std::string& path) { return path.starts_with('/'); }),
               hooks_.end());
  std::set<std::string> seen;
  for (const std::string& tree : spec.trees) {
    for (std::string at = tree; at != "/" && seen.insert(at).second; at = path_parent(at)) {
      struct stat status {};
      if (::lstat(path_join(at, ".git").c_str(), &status) != 0) continue;
      // A directory in the tree itself is looked at like others.
      if (at == tree && S_ISDIR(status.st_mode)) break;
      for (Lead& lead : of_work_tree(at)) out.push_back(std::move(lead));
      break;
    }
  }
  return out;
}

std::vector<Lead> Leads::of_work_tree(const std::string& top) const {
  constexpr std::string_view kMark = "gitdir: ";
  std::string git = path_join(top, ".git");
  if (const auto text = read_(follow_links(git).end)) {
    const std::string_view line = without_end_of_line(*text);
    if (!line.starts_with(kMark)) return {};
    git = path_join(top, line.substr(kMark.size()));
  }
  Found found;
  std::string common = git;
  if (const auto text = read_(follow_links(path_join(git, "commondir")).end))
    common = path_join(git, without_end_of_line(*text));
  read_file(path_join(common, "config"), 0, found);
  read_file(path_join(git, "config.worktree"), 0, found);
  std::vector<std::string> tops{top};
  for (const std::string& tree : found.worktrees) tops.push_back(path_join(git, tree));
  return leads_of(found, std::move(tops));
}

std::vector<Lead> Leads::of_git(const std::string& git, std::string_view config) const {
  Found found;
  read_text(config, git, 0, found);
  read_file(path_join(git, "config.worktree"), 0, found);
  // In a bare one git runs hooks in itself.
  std::vector<std::string> tops{path_name(git) == ".git" ? path_parent(git) : git};
  for (const std::string& tree : found.worktrees) tops.push_back(path_join(git, tree));
  return leads_of(found, std::move(tops));
}

std::vector<Lead> Leads::of_link(const std::string& directory, const std::string& target,
                                 const NameRule* rule, const Folder* folder) {
  Lead lead{path_join(directory, target), rule, folder};
  if (rule != nullptr && rule->what != What::whole && rule->what != What::config &&
      !is_told(rule->what)) {
    lead.rule = &kLinked;
  }
  const std::string end = follow_links(lead.path).end;
  if (path_is_beneath(directory, end)) return {};
  struct stat status {};
  if (::lstat(end.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) lead.rule = nullptr;
    if (S_ISREG(status.st_mode)) lead.folder = nullptr;
  }
  std::vector<Lead> out;
  add_way(lead, out);
  return out;
}

}  // namespace dirbox::guard
