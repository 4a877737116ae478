#include "launcher/cli/project_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "launcher/base/file.h"
#include "launcher/base/json.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/base/unique_fd.h"
#include "launcher/log/event_log.h"
#include "launcher/plan/paths.h"

namespace dirbox::cli {
namespace {

constexpr const char* kDoing = "read a project file";

/// Only the file itself: a repository can ship a symlink or a FIFO of that name.
Result<std::optional<std::string>> read_own(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  const std::string shown = escape_for_terminal(path);
  if (!fd.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    return fail_errno(kDoing, shown, errno, errno == ELOOP ? "it must not be a symlink" : "");
  }
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode))
    return fail(kDoing, shown, "not a regular file");
  return TRY(read_fd(fd.get(), profiles::kMaxProfileBytes, shown));
}

Result<plan::Plan> compile_alone(const profiles::Profile& profile, const plan::HostFacts& facts) {
  plan::Command nothing;
  nothing.force_cwd = true;
  auto plan = plan::compile(profile, facts, nothing);
  if (!plan) return Failure(plan.error().error);
  return std::move(*plan);
}

/// The file is named, where what it leaves of the profile does not compile: the origin in the error
/// may be the profile's, which is well without the file.
Result<plan::Plan> compile_with(const profiles::Profile& profile, const plan::HostFacts& facts,
                                const std::string& file) {
  auto plan = compile_alone(profile, facts);
  if (plan) return plan;
  const Error& error = plan.error();
  if (error.operand.starts_with(file)) return plan;
  return fail("use a project file", file, "with it the profile fails: " + error.message(),
              "the profile alone is well; take out of the file what that needs");
}

/// Errors: there is no such place, or it lies in the project, which can bring a record along.
Result<std::string> trust_path(const std::string& path) {
  const std::string directory = log::state_directory();
  if (directory.empty()) return fail("trust a project file", "", "no home directory", "set HOME");
  char* real = ::realpath(directory.c_str(), nullptr);
  const std::string resolved = real != nullptr ? real : directory;
  std::free(real);
  for (const std::string& place : {path_normalize(directory), resolved}) {
    if (!path_is_beneath(place, path_parent(path))) continue;
    return fail("trust a project file", escape_for_terminal(place),
                "the project itself could say there that it is trusted",
                "set XDG_STATE_HOME to a directory outside of it");
  }
  return path_join(path_join(directory, "trust"), sha256_hex(path));
}

/// What record_trust() wrote.
Result<Trusted> read_record(const std::string& path) {
  const std::string text = TRY(read_file(path, 16 << 10));
  const Json record = TRY(Json::parse(text));
  const Json* where = record.find("path");
  const Json* hash = record.find("sha256");
  if (where == nullptr || where->as_string() == nullptr || hash == nullptr ||
      hash->as_string() == nullptr) {
    return fail("read a record of trust", escape_for_terminal(path), "it has no path and sha256",
                "remove it; dirbox trust makes another");
  }
  return Trusted{*where->as_string(), *hash->as_string(), ""};
}

}  // namespace

bool ProjectFile::widens() const {
  return std::any_of(changes.begin(), changes.end(), [](const plan::Change& change) {
    return change.effect == profiles::Effect::widens;
  });
}

std::string project_file_path(const plan::HostFacts& facts) {
  plan::Resolver resolver(*facts.files);
  return path_join(plan::find_project(resolver, facts.cwd, resolver.resolve(facts.home).path),
                   kProjectFile);
}

Result<std::optional<ProjectFile>> find_project_file(const profiles::Profile& profile,
                                                     const profiles::Overrides& options,
                                                     const plan::HostFacts& facts) {
  plan::Resolver resolver(*facts.files);
  ProjectFile out;
  out.path = project_file_path(facts);
  auto text = TRY(read_own(out.path));
  if (!text) return std::nullopt;
  out.text = std::move(*text);
  out.hash = sha256_hex(out.text);
  const std::string shown = escape_for_terminal(out.path);
  const profiles::NodeTable tree = TRY(profiles::parse_toml(out.text, shown));
  profiles::Layer layer = TRY(profiles::decode_layer(tree, shown));
  if (!layer.extends.empty()) {
    return fail(kDoing, layer.extends.front().origin.text(), "it cannot extend a profile",
                "it adds to the one that is used here; dirbox project set chooses that");
  }
  out.profile = profile;
  std::vector<profiles::Removal> idle;
  TRY_VOID(profiles::merge_layer(out.profile, std::move(layer), &idle));
  for (const auto& [row, entry] : idle) {
    out.idle.push_back(
        {fmt::format("{} has no \"{}\" to remove", row->full_name(), entry.text), entry.origin});
  }
  out.profile.description = profile.description;
  out.profile.chain.push_back(shown);
  profiles::Profile without = profile, with = out.profile;
  TRY_VOID(profiles::apply_overrides(without, options));
  TRY_VOID(profiles::apply_overrides(with, options));
  const plan::Plan before = TRY(compile_alone(without, facts));
  const plan::Plan after = TRY(compile_with(with, facts, shown));
  out.changes = plan::compare_plans(without, before, with, after,
                                    plan::find_restrictions(resolver, facts, before));
  return out;
}

std::vector<plan::Note> find_idle_files(const plan::HostFacts& facts) {
  plan::Resolver resolver(*facts.files);
  const std::string home = resolver.resolve(facts.home).path;
  const std::string project = plan::find_project(resolver, facts.cwd, home);
  auto is_there = [](const std::string& directory, const char* name) {
    return ::access(path_join(directory, name).c_str(), F_OK) == 0;
  };
  const bool repository = is_there(project, ".git");
  std::vector<plan::Note> out;
  for (std::string at = facts.cwd; at != "/"; at = path_parent(at)) {
    if (at != project && is_there(at, kProjectFile)) {
      std::string why = fmt::format("the project's is {}", path_join(project, kProjectFile));
      if (path_is_beneath(project, at)) {
        why = !repository ? "no repository reaches from there to the working directory"
              : is_there(at, ".git")
                  ? "in a repository of its own; an earlier sandbox may have made that"
                  : "in a repository within that directory";
      }
      out.push_back(
          {fmt::format("{} does not hold here, {}", path_join(at, kProjectFile), why), {}});
    }
    if (at == home) break;
  }
  return out;
}

std::string render_changes(const std::vector<plan::Change>& changes) {
  Table table;
  for (const plan::Change& change : changes) {
    table.add({change.effect == profiles::Effect::widens ? "widens" : "narrows", change.text,
               change.origin.file.empty() ? "" : change.origin.text()});
  }
  return table.render(2);
}

bool check_trusted(const ProjectFile& file) {
  auto path = trust_path(file.path);
  if (!path) return false;
  auto record = read_record(*path);
  return record && record->path == file.path && record->hash == file.hash;
}

Result<std::vector<Trusted>> list_trusted() {
  const std::string directory = path_join(log::state_directory(), "trust");
  std::vector<Trusted> out;
  std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(directory.c_str()), &::closedir);
  if (!open) {
    if (errno == ENOENT) return out;
    return fail_errno("list what is trusted", escape_for_terminal(directory));
  }
  while (const dirent* entry = ::readdir(open.get())) {
    const std::string name = entry->d_name;
    if (name.starts_with('.')) continue;
    auto record = TRY(read_record(path_join(directory, name)));
    const auto place = trust_path(record.path);
    if (!place || path_name(*place) != name) continue;  // check_trusted() would not look there
    const auto text = read_own(record.path);
    record.state = !text                               ? "unreadable"
                   : !*text                            ? "gone"
                   : sha256_hex(**text) == record.hash ? "trusted"
                                                       : "changed";
    out.push_back(std::move(record));
  }
  std::sort(out.begin(), out.end(),
            [](const Trusted& a, const Trusted& b) { return a.path < b.path; });
  return out;
}

Result<void> record_trust(const ProjectFile& file) {
  const std::string path = TRY(trust_path(file.path));
  TRY_VOID(make_directories(path_parent(path)));
  const Json record = JsonObject{{"path", file.path}, {"sha256", file.hash}};
  return replace_file(path, record.dump() + "\n");
}

Result<void> forget_trust(const std::string& path) {
  const std::string record = TRY(trust_path(path));
  if (::unlink(record.c_str()) == 0) return {};
  if (errno == ENOENT)
    return fail("forget a project file", escape_for_terminal(path), "it is not trusted");
  return fail_errno("forget a project file", escape_for_terminal(path));
}

}  // namespace dirbox::cli
