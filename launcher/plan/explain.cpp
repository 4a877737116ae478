#include "launcher/plan/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/plan/sockets.h"

namespace dirbox::plan {
namespace {

using sandbox::Mount;
using sandbox::MountKind;

/// Filled into the tmpfs or directory around it, and as writable as that.
bool is_content(MountKind kind) {
  return kind == MountKind::directory || kind == MountKind::file || kind == MountKind::copy ||
         kind == MountKind::symlink || kind == MountKind::synced;
}

bool is_private(MountKind kind) {
  return kind == MountKind::tmpfs || kind == MountKind::proc || kind == MountKind::devpts;
}

std::string toml_line(std::string_view key, std::string_view value) {
  return fmt::format("{} = [{}]", key, Json(value).dump());
}

/// Only what a profile can hold and a terminal can show is offered to be pasted.
bool is_printable(std::string_view path) {
  std::string shown = escape_for_terminal(path);
  std::erase(shown, '\\');
  std::string plain(path);
  std::erase(plain, '\\');
  return shown == plain;
}

std::string_view option_of(Want want) {
  if (want == Want::write) return "--write";
  return want == Want::connect ? "--socket" : "--read";
}
std::string_view key_of(Want want) {
  if (want == Want::write) return "filesystem.write";
  return want == Want::connect ? "filesystem.sockets" : "filesystem.read";
}

}  // namespace

std::string describe_drop(const PathRule& rule) {
  if (rule.origin.file.starts_with("--")) return "leave out the option that hides it";
  // Those that keep_own_files() hides whatever the profile says.
  constexpr std::string_view kOwn[] = {"~/.config/dirbox", "~/.local/state/dirbox",
                                       "~/.cache/dirbox"};
  const bool own = std::find(std::begin(kOwn), std::end(kOwn), rule.text) != std::end(kOwn);
  if (own || rule.origin.line == 0) return "dirbox hides it itself: it never comes in";
  return fmt::format("a profile of your own can drop it: filesystem.hide = [{}]",
                     Json("-" + rule.text).dump());
}

TreeView::TreeView(const Plan& plan) : plan_(plan) {
  bool private_home = false;
  targets_.reserve(plan.spec.mounts.size());
  for (const Mount& mount : plan.spec.mounts) {
    targets_.emplace_back(mount.target, &mount);
    private_home |= mount.kind == MountKind::tmpfs && mount.target == plan.home;
  }
  // Stable: of several at one place the last one counts.
  std::stable_sort(targets_.begin(), targets_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  own_ = OwnPlaces(private_home ? plan.home : std::string());
}

TreeView::Place TreeView::find(std::string_view path) const {
  Place place;
  for (std::string_view at = path;;) {
    auto last =
        std::upper_bound(targets_.begin(), targets_.end(), at,
                         [](std::string_view p, const auto& target) { return p < target.first; });
    while (last != targets_.begin() && std::prev(last)->first == at) {
      --last;
      const Mount& mount = *last->second;
      if (mount.kind == MountKind::read_only) {
        place.read_only = true;
      } else if (!is_content(mount.kind) || (at == path && mount.kind != MountKind::directory)) {
        if (!is_content(mount.kind)) {
          place.mount = &mount;
          return place;
        }
        // A file of its own: whether it can be written is up to what it lies in.
        if (place.mount == nullptr) place.mount = &mount;
      }
    }
    const std::size_t slash = at.rfind('/');
    if (at == "/" || slash == at.npos) return place;
    at = at.substr(0, std::max<std::size_t>(slash, 1));
  }
}

bool TreeView::allows(std::string_view path, Want want) const {
  const Place place = find(path);
  if (place.mount == nullptr) {
    if (want == Want::write) return false;
    // A directory of the skeleton can be listed.
    return path == "/" || is_made(path);
  }
  const Mount& mount = *place.mount;
  if (mount.kind == MountKind::mask) return false;
  if (want == Want::connect) {
    // A socket that is visible can be connected to where its inode can be written.
    return is_private(mount.kind) || (mount.kind == MountKind::bind && !place.read_only);
  }
  if (want != Want::write) return true;
  if (is_private(mount.kind)) return !place.read_only;
  if (is_content(mount.kind)) {
    return path != "/" && allows(path_parent(path), want);
  }
  return (mount.writable && !place.read_only) || mount.devices;
}

Answer TreeView::refuse(std::string_view path, Want want, const Place& place) const {
  Answer answer;
  answer.subject = path;
  answer.layer = "mount";
  const PathRule* rule = find_rule(plan_, path);
  if (rule != nullptr) {
    answer.rule = rule->text;
    answer.origin = rule->origin.text();
  }
  if (rule != nullptr && rule->access == PathAccess::hide) {
    answer.cause = "hidden";
    answer.detail = "the profile hides it";
  } else if (rule != nullptr && rule->access == PathAccess::protect) {
    answer.cause = "protected";
    answer.detail = "the profile protects it";
  } else if (rule != nullptr || place.mount != nullptr) {
    answer.cause = want == Want::write ? "read-only" : "absent";
    answer.detail =
        rule != nullptr ? "the profile grants it for reading" : "it is made for the sandbox";
  } else {
    answer.cause = "absent";
    answer.detail = "the profile grants no access to it";
  }
  return answer;
}

std::string_view TreeView::private_directory(std::string_view path) const {
  const Place place = find(path);
  if (place.mount == nullptr || place.mount->kind != MountKind::tmpfs) return {};
  return place.mount->target;
}

bool TreeView::is_made(std::string_view path) const {
  return std::any_of(targets_.begin(), targets_.end(),
                     [&](const auto& target) { return path_is_beneath(target.first, path); });
}

bool TreeView::lacks_parent(std::string_view path) const {
  const std::string_view directory = private_directory(path);
  const std::string parent = path_parent(path);
  return !directory.empty() && path != directory && parent != directory && !is_made(parent);
}

bool TreeView::is_of_host(std::string_view path) const {
  const Place place = find(path);
  return place.mount != nullptr && place.mount->kind == MountKind::bind;
}

void TreeView::add_cure(Answer& answer, Want want, const Grant& grant) const {
  if (answer.cause == "hidden") {
    const PathRule* rule = find_rule(plan_, answer.subject);
    answer.never = "what is hidden stays hidden";
    if (rule == nullptr) return;
    // Nobody is told the option: what is asked for here is most often a secret.
    answer.never += answer.subject == rule->path
                        ? ", whatever else is granted; " + describe_drop(*rule)
                        : fmt::format(
                              ", unless a grant names a path beneath {} itself, and then "
                              "what is secret there is inside",
                              rule->text.empty() ? rule->path : rule->text);
    return;
  }
  if (answer.cause == "protected") {
    answer.never = "what is protected is what programs of the host execute";
    return;
  }
  if (!is_printable(grant.path)) {
    answer.never = "its name has characters that are not for a command line";
    return;
  }
  if (want == Want::connect) {
    if (auto danger = socket_danger(grant.path)) {
      answer.detail += fmt::format("; {}", *danger);
      answer.toml = fmt::format("filesystem.sockets = [{{ path = {}, dangerous = true }}]",
                                Json(grant.path).dump());
      return;
    }
  } else {
    FileStat stat;
    stat.type = grant.type;
    const PathAccess access = want == Want::write ? PathAccess::write : PathAccess::read;
    if (auto refusal = own_.refuse(grant.path, access, stat)) {
      answer.never = refusal->reason;
      if (!refusal->hint.empty()) answer.never += ": " + refusal->hint;
      return;
    }
  }
  answer.cure = fmt::format("{} {}", option_of(want), shell_quote(grant.path));
  answer.toml = toml_line(key_of(want), grant.path);
}

Answer TreeView::explain(std::string_view path, Want want, const Grant& grant,
                         bool from_host) const {
  Place place = find(path);
  const bool is_tmpfs = place.mount != nullptr && place.mount->kind == MountKind::tmpfs;
  const bool absent = from_host && is_tmpfs;
  if (absent || !allows(path, want)) {
    if (absent) place = {};
    Answer answer = refuse(path, want, place);
    add_cure(answer, want, grant);
    return answer;
  }
  Answer answer;
  answer.allowed = true;
  answer.subject = path;
  answer.layer = "mount";
  const PathRule* rule = find_rule(plan_, path);
  if (place.mount != nullptr && place.mount->kind == MountKind::bind && rule != nullptr) {
    answer.rule = rule->text;
    answer.origin = rule->origin.text();
    answer.cause = access_name(rule->access);
    answer.detail = fmt::format("the profile grants it for {}",
                                rule->access == PathAccess::write ? "writing" : "reading");
  } else if (place.mount != nullptr && is_private(place.mount->kind)) {
    answer.cause = "private";
    answer.detail = is_tmpfs ? "private to the sandbox, and gone with it" : "the sandbox's own";
    answer.origin = place.mount->origin.text();
  } else {
    answer.cause = "made";
    answer.detail = "made for the sandbox";
    if (place.mount != nullptr) answer.origin = place.mount->origin.text();
  }
  return answer;
}

Answer explain_variable(const Plan& plan, const std::string& name) {
  Answer answer;
  answer.subject = name;
  answer.layer = "namespace";
  for (const EnvironmentVariable& variable : plan.environment) {
    if (variable.name != name) continue;
    answer.allowed = true;
    answer.cause = "passed";
    answer.detail = "it is set inside";
    answer.origin = variable.origin.text();
    return answer;
  }
  const bool here = std::find(plan.dropped_variables.begin(), plan.dropped_variables.end(), name) !=
                    plan.dropped_variables.end();
  answer.cause = here ? "not-passed" : "not-set";
  answer.detail = here ? "no entry passes it" : "it is not set here";
  const bool sane = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_';
  });
  if (!sane) {
    answer.never = "it is no name of a variable";
    return answer;
  }
  answer.cure = fmt::format("--env {}{}", name, here ? "" : "=VALUE");
  answer.toml = here ? toml_line("environment.pass", name)
                     : fmt::format("environment.set.{} = \"VALUE\"", name);
  return answer;
}

}  // namespace dirbox::plan
