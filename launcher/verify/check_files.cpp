#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/plan/claude_code.h"
#include "launcher/plan/excluded.h"
#include "launcher/plan/paths.h"
#include "launcher/verify/context.h"
#include "launcher/verify/verify.h"
#include "profiles/load.h"

namespace dirbox::verify {
namespace {

using plan::FileType;
using plan::PathAccess;
using plan::PathRule;

bool is_file_made_by(const Canaries& canaries, const std::string& path) {
  auto text = read_file(path);
  return text && *text == canaries.token;
}

/// Names directly beneath `path` that the plan shows on purpose: on the way to a longer grant.
Words names_granted_beneath(const plan::Plan& plan, const std::string& path) {
  Words names;
  auto add = [&](const std::string& shown) {
    if (shown == path || !path_is_beneath(shown, path)) return;
    names.emplace_back(path_components(path_relative(shown, path)).front());
  };
  for (const PathRule& rule : plan.rules) {
    if (rule.access != PathAccess::hide) add(rule.path);
  }
  for (const sandbox::Mount& mount : plan.spec.mounts) {
    if (mount.kind != sandbox::MountKind::mask) add(mount.target);
  }
  return names;
}

struct Secret {
  std::string path;
  Origin origin;
  FileType type = FileType::missing;
  const PathRule* grant = nullptr;  ///< by which the profile gives up what base hides
};

/// What the Plan hides, and what base hides and the profile took from the list.
std::vector<Secret> secrets_of(const plan::Plan& plan) {
  std::map<std::string, Secret> secrets;
  for (const PathRule& rule : plan.rules) {
    if (rule.access == PathAccess::hide) secrets[rule.path] = {rule.path, rule.origin, rule.type};
  }
  profiles::Request request;
  request.name = "base";
  request.system_dir.clear();
  auto base = profiles::load_profile(request);
  plan::HostFiles files;
  plan::Resolver resolver(files);
  plan::Places places{plan.home, plan.cwd, plan.project,
                      plan::claude_project_directory(plan.home, plan.cwd)};
  for (std::size_t i = 0; base && i < base->hide.size(); ++i) {
    auto path = plan::expand_path(base->hide[i], places);
    if (!path) continue;
    auto found = resolver.resolve(*path);
    if (secrets.count(found.path) != 0) continue;
    const PathRule* rule = plan::find_rule(plan, found.path);
    if (rule != nullptr && rule->access == PathAccess::hide) continue;
    secrets[found.path] = {found.path, base->hide[i].origin, found.stat.type, rule};
  }
  std::vector<Secret> out;
  out.reserve(secrets.size());
  for (auto& [path, secret] : secrets) out.push_back(std::move(secret));
  return out;
}

Outcome reveal_everywhere(Context& context, const Secret& secret, const Words& shown) {
  Outcome first;
  for (const char* prefix : {"", "/proc/self/root", "/proc/1/root",
                             "/proc/self/cwd/../../../../../../../../../../../.."}) {
    Words words{prefix + secret.path};
    words.insert(words.end(), shown.begin(), shown.end());
    Outcome got = secret.type == FileType::socket ? context.inside("connect-unix", {words[0]})
                                                  : context.inside("reveal", words);
    if (*prefix == '\0') first = got;
    if (got.done()) {
      got.detail = words[0] + (got.detail.empty() ? "" : ", " + got.detail);
      return got;
    }
  }
  return first;
}

void check_hidden(Context& context) {
  for (const Secret& secret : secrets_of(context.plan())) {
    if (secret.type == FileType::missing) {
      context.add(secret.path, Verdict::absent, "not on this host", secret.origin);
      continue;
    }
    bool socket = secret.type == FileType::socket;
    Outcome control = context.outside(socket ? "connect-unix" : "reveal", {secret.path});
    Words shown = names_granted_beneath(context.plan(), secret.path);
    Outcome got = reveal_everywhere(context, secret, shown);
    if (got.done() && secret.grant != nullptr) {
      context.add(secret.path, Verdict::waived,
                  std::string("granted: ") + std::string(plan::access_name(secret.grant->access)),
                  secret.grant->origin);
      continue;
    }
    context.judge_refused(secret.path, got, control, {ENOENT, EACCES, ENOTDIR, ECONNREFUSED},
                          secret.origin);
  }
}

void check_write(Context& context) {
  for (const PathRule& rule : context.plan().rules) {
    if (rule.access != PathAccess::write) continue;
    if (rule.type != FileType::directory) {
      Words words{rule.path, std::to_string(O_WRONLY)};
      if (rule.type == FileType::regular)
        context.must_succeed(rule.path, "open", words, rule.origin);
      continue;
    }
    const std::string shown = plan::map_to_host(context.plan(), rule.path).value_or(rule.path);
    if (!context.outside("writable", {shown}).done()) {
      context.add(rule.path, Verdict::absent, "you cannot write there outside either", rule.origin);
      continue;
    }
    const std::string name = ".dirbox-verify-" + context.canaries().token;
    const std::string path = path_join(rule.path, name), outside = path_join(shown, name);
    Outcome made = context.inside("create", {path, context.canaries().token});
    bool seen = is_file_made_by(context.canaries(), outside);
    Outcome removed = context.inside("remove", {path});
    bool left = ::access(outside.c_str(), F_OK) == 0;
    if (left && seen) ::unlink(outside.c_str());
    if (made.kind == Outcome::Kind::not_run || removed.kind == Outcome::Kind::not_run) {
      context.add(rule.path, Verdict::not_run, made.text(), rule.origin);
    } else if (!made.done() || !seen || !removed.done() || left) {
      context.add(rule.path, Verdict::fail,
                  !made.done() ? "making a file: " + made.text()
                  : !seen      ? "the host does not see the file"
                               : "removing a file: " + removed.text(),
                  rule.origin);
    } else {
      context.add(rule.path, Verdict::pass, "made, seen by the host, removed", rule.origin);
    }
  }
}

/// Tries to make a file in `directory`. True when the host has it then; it is removed.
bool plant(Context& context, const std::string& directory, Outcome& got) {
  const std::string path = path_join(directory, ".dirbox-verify-" + context.canaries().token);
  got = context.inside("create", {path, context.canaries().token});
  bool planted = is_file_made_by(context.canaries(), path);
  if (planted) ::unlink(path.c_str());
  return planted;
}

/// The host is unchanged. A permission that is missing outside as well proves nothing.
void judge_planted(Context& context, const std::string& where, const Outcome& got, bool planted,
                   bool private_is_fine, const Origin& origin) {
  if (planted || (got.done() && !private_is_fine)) {
    context.add(where, Verdict::fail, planted ? "a file appeared on the host" : got.text(), origin);
  } else if (got.done()) {
    context.add(where, Verdict::pass, "a private copy", origin);
  } else if (got.refused_with({EROFS, ENOENT})) {
    context.add(where, Verdict::pass, got.text(), origin);
  } else {
    context.judge_refused(where, got, Context::outside("writable", {where}), {EACCES, EPERM},
                          origin);
  }
}

/// Read and protect grants: readable where they are outside, and never written.
void check_read_only(Context& context) {
  for (const PathRule& rule : context.plan().rules) {
    if (rule.access != PathAccess::read && rule.access != PathAccess::protect) continue;
    if (rule.copy) continue;  // of its own, and writable
    Outcome got;
    bool planted = false;
    if (rule.type == FileType::directory) {
      planted = plant(context, rule.path, got);
    } else if (rule.type == FileType::regular) {
      got = context.inside("open", {rule.path, std::to_string(O_WRONLY)});
      if (got.refused_with({ETXTBSY})) {  // also where the mount would refuse it
        context.add(rule.path, Verdict::absent, "it is being executed", rule.origin);
        continue;
      }
    } else {
      continue;
    }
    judge_planted(context, rule.path, got, planted, false, rule.origin);
  }
}

void check_readable(Context& context) {
  for (const PathRule& rule : context.plan().rules) {
    if (rule.access != PathAccess::read) continue;
    Outcome control = context.outside("reveal", {rule.path});
    if (!control.done()) {
      context.add(rule.path, Verdict::absent, "outside: " + control.text(), rule.origin);
      continue;
    }
    context.must_succeed(rule.path, "reveal", {rule.path}, rule.origin);
  }
}

void check_outside(Context& context) {
  const plan::Plan& plan = context.plan();
  std::vector<std::string> places = {"/",    "/etc", "/usr", "/usr/bin", "/var",     "/var/tmp",
                                     "/tmp", "/run", "/dev", "/dev/shm", "/var/lib", "/srv"};
  for (const std::string& path : {path_parent(plan.home), plan.home, path_parent(plan.cwd)})
    places.push_back(path);
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  for (const std::string& place : places) {
    const PathRule* rule = plan::find_rule(plan, place);
    Outcome got;
    bool planted = plant(context, place, got);
    if (planted && rule != nullptr && rule->access == PathAccess::write) {
      context.add(place, Verdict::waived, "granted: write", rule->origin);
    } else {
      judge_planted(context, place, got, planted, true, {});
    }
  }
}

/// Every account that the text of a passwd file names, but the one with `uid` and nobody.
std::string other_accounts(const std::string& text, uid_t uid) {
  std::string others;
  std::size_t start = 0;
  while (start < text.size()) {
    std::size_t end = std::min(text.find('\n', start), text.size());
    std::string line = text.substr(start, end - start);
    start = end + 1;
    std::size_t first = line.find(':');
    std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    unsigned long long id = number(line.substr(second + 1));
    constexpr unsigned long long kNobody = 65534;
    if (id != uid && id != kNobody) others += (others.empty() ? "" : ", ") + line.substr(0, first);
  }
  return others;
}

void check_accounts(Context& context) {
  Outcome got = context.inside("text", {"/etc/passwd"});
  Outcome control = context.outside("text", {"/etc/passwd"});
  if (!got.done()) return context.add("/etc/passwd", Verdict::not_run, got.text());
  std::string others = other_accounts(got.detail, context.plan().spec.uid);
  const PathRule* rule = plan::find_rule(context.plan(), "/etc/passwd");
  if (!others.empty()) {
    bool granted = rule != nullptr && rule->access != PathAccess::hide;
    context.add("/etc/passwd", granted ? Verdict::waived : Verdict::fail,
                "names " + escape_for_terminal(others), granted ? rule->origin : Origin{});
  } else if (!control.done() || other_accounts(control.detail, context.plan().spec.uid).empty()) {
    context.add("/etc/passwd", Verdict::absent, "the host's names nobody else either");
  } else {
    context.add("/etc/passwd", Verdict::pass, "names only the user");
  }
}

void check_cwd(Context& context) { context.must_be("getcwd", "cwd", {}, context.plan().spec.cwd); }

constexpr Row kRows[] = {
    {"files.hidden", "secrets cannot be read under any name", "mount, Landlock", check_hidden},
    {"files.read", "read grants can be read", "mount", check_readable},
    {"files.readonly", "read grants cannot be written", "mount, Landlock", check_read_only},
    {"files.write", "write grants can be written", "mount", check_write},
    {"files.outside", "nothing outside the grants changes", "mount, Landlock", check_outside},
    {"files.accounts", "/etc/passwd names only the user", "mount", check_accounts},
    {"files.cwd", "the command starts in the working directory", "mount", check_cwd},
};

}  // namespace

std::span<const Row> file_rows() { return kRows; }

}  // namespace dirbox::verify
