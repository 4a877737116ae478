#include "launcher/plan/worktree.h"

#include <fmt/format.h>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/guard/git_config.h"

namespace dirbox::plan {
namespace {

constexpr std::size_t kMaxPath = 4096 + 16;  // PATH_MAX and "gitdir: "
constexpr std::string_view kMark = "gitdir: ";
constexpr std::size_t kMaxConfig = 256 << 10;

std::string_view first_line(std::string_view text) {
  text = text.substr(0, text.find('\n'));
  return text.ends_with('\r') ? text.substr(0, text.size() - 1) : text;
}

Failure refuse(const std::string& gitfile, const std::string& detail) {
  return fail("use the repository of a gitfile", escape_for_terminal(gitfile), detail,
              "git worktree repair mends a worktree that was moved; another layout needs --write "
              "for its git directory");
}

/// The linked worktree, when `admin` (COMMON/worktrees/ID) points back at `gitfile`.
Result<Worktree> check_linked(Resolver& resolver, const std::string& gitfile,
                              const std::string& admin, std::string_view common_text) {
  const FileView& files = resolver.files();
  Worktree out;
  out.linked = true;
  out.git_dir = admin;
  out.common_dir = resolver.resolve(path_join(admin, first_line(common_text))).path;
  // git makes no other place; one that differs shares its configuration with nobody knows whom.
  if (path_parent(admin) != path_join(out.common_dir, "worktrees"))
    return refuse(gitfile,
                  fmt::format("{} is not among the worktrees of {}", escape_for_terminal(admin),
                              escape_for_terminal(out.common_dir)));
  const std::string back = files.head(path_join(admin, "gitdir"), kMaxPath);
  const auto pointed = resolver.resolve(path_normalize(path_join(admin, first_line(back))));
  if (back.empty() || pointed.path != gitfile) {
    return refuse(gitfile,
                  fmt::format("gitdir does not point back: {} names {}",
                              escape_for_terminal(path_join(admin, "gitdir")),
                              back.empty() ? "nothing" : escape_for_terminal(first_line(back))));
  }
  out.main = path_name(out.common_dir) == ".git" ? path_parent(out.common_dir) : out.common_dir;
  return out;
}

/// The submodule, when core.worktree of its git directory names `project`.
Result<Worktree> check_submodule(Resolver& resolver, const std::string& gitfile,
                                 const std::string& git_dir, const std::string& project) {
  const std::string text = resolver.files().head(path_join(git_dir, "config"), kMaxConfig);
  auto config = guard::parse_git_config(text);
  if (config) {
    for (const guard::ConfigEntry& entry : config->entries) {
      if (entry.key != "core.worktree") continue;
      if (resolver.resolve(path_join(git_dir, entry.value)).path != project) break;
      return Worktree{git_dir, git_dir, project, false};
    }
  }
  return refuse(gitfile, fmt::format("gitdir does not point back: core.worktree of {} is not {}",
                                     escape_for_terminal(git_dir), escape_for_terminal(project)));
}

}  // namespace

std::optional<Resolver::Resolution> find_gitfile_target(Resolver& resolver,
                                                        const std::string& project) {
  const std::string gitfile = path_join(project, ".git");
  if (resolver.resolve(gitfile).stat.type != FileType::regular) return std::nullopt;
  const std::string text = resolver.files().head(gitfile, kMaxPath);
  if (!text.starts_with(kMark)) return std::nullopt;
  const std::string_view target = first_line(std::string_view(text).substr(kMark.size()));
  return resolver.resolve(path_join(project, target));
}

Result<std::optional<Worktree>> find_worktree(Resolver& resolver, const std::string& project) {
  const std::string gitfile = path_join(project, ".git");
  const auto found = resolver.resolve(gitfile);
  if (found.stat.type != FileType::regular) return std::nullopt;
  if (!found.hops.empty()) return refuse(gitfile, "it is a symlink to a file");
  const auto target = find_gitfile_target(resolver, project);
  if (!target) return refuse(gitfile, "it is not a gitfile");
  const std::string& git_dir = target->path;
  if (resolver.resolve(git_dir).stat.type != FileType::directory) {
    return refuse(gitfile, fmt::format("it names {}, where there is no directory",
                                       escape_for_terminal(git_dir)));
  }
  const std::string common = resolver.files().head(path_join(git_dir, "commondir"), kMaxPath);
  if (!common.empty()) return TRY(check_linked(resolver, gitfile, git_dir, common));
  return TRY(check_submodule(resolver, gitfile, git_dir, project));
}

std::optional<std::string> find_repository(Resolver& resolver, const std::string& project) {
  for (const std::string& path : {path_join(project, ".git"), project}) {
    const auto found = resolver.resolve(path);
    const bool head = resolver.resolve(path_join(path, "HEAD")).stat.type == FileType::regular;
    if (found.stat.type == FileType::directory && head) return found.path;
  }
  return std::nullopt;
}

std::optional<Resolver::Resolution> find_backlink(Resolver& resolver, const std::string& admin) {
  const std::string text = resolver.files().head(path_join(admin, "gitdir"), kMaxPath);
  const std::string path = path_normalize(path_join(admin, first_line(text)));
  if (text.empty() || path_name(path) != ".git") return std::nullopt;
  auto found = resolver.resolve(path);
  if (found.stat.type != FileType::regular || path_name(found.path) != ".git") return std::nullopt;
  return found;
}

std::optional<std::string> find_worktree_parent(Resolver& resolver, const std::string& project) {
  constexpr std::size_t kMost = 256;  // looked at; of a project with more, the first are enough
  const std::string parent = project + "-worktrees";
  const auto found = resolver.resolve(parent);
  if (found.stat.type != FileType::directory || found.path != parent) return std::nullopt;
  const std::vector<Child> children = resolver.files().list(parent);
  bool own = children.empty();
  for (std::size_t i = 0; i < children.size() && i < kMost; ++i) {
    const std::string path = path_join(parent, children[i].name);
    if (children[i].type != FileType::directory) continue;
    if (resolver.resolve(path_join(path, ".git")).stat.type == FileType::missing) continue;
    const auto worktree = find_worktree(resolver, path);
    if (!worktree || !*worktree || (*worktree)->main != project) return std::nullopt;
    own = true;
  }
  return own ? std::optional(parent) : std::nullopt;
}

}  // namespace dirbox::plan
