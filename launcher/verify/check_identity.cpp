#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <vector>

#include "launcher/base/file.h"
#include "launcher/base/text.h"
#include "launcher/verify/context.h"
#include "launcher/verify/verify.h"

namespace dirbox::verify {
namespace {

void check_capabilities(Context& context) {
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    context.must_be(set, "status", {set}, "0000000000000000");
  }
}

struct Shown {
  std::string point, options;  ///< ",ro,nosuid,"
};

/// Of proc_pid_mountinfo(5): id parent device root point options …
std::vector<Shown> read_mounts(const std::string& text) {
  std::vector<Shown> mounts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string skipped;
    Shown& shown = mounts.emplace_back();
    words >> skipped >> skipped >> skipped >> skipped >> shown.point >> shown.options;
    shown.options = "," + shown.options + ",";
  }
  return mounts;
}

bool has_option(const Shown& mount, std::string_view option) {
  return mount.options.find("," + std::string(option) + ",") != std::string::npos;
}

void check_privileges(Context& context) {
  context.must_be("NoNewPrivs", "status", {"NoNewPrivs"}, "1");
  Outcome mounts = context.inside("text", {"/proc/self/mountinfo"});
  if (!mounts.done()) return context.add("mountinfo", Verdict::not_run, mounts.text());
  std::string setuid;
  for (const Shown& mount : read_mounts(mounts.detail)) {
    if (!has_option(mount, "nosuid")) setuid += mount.point + " ";
  }
  context.add(
      "setuid programs", setuid.empty() ? Verdict::pass : Verdict::fail,
      setuid.empty() ? "every mount is nosuid" : "not nosuid: " + escape_for_terminal(setuid));
}

/// Landlock may refuse the same: that the mounts do too is seen from their options.
void check_read_only(Context& context) {
  Outcome got = context.inside("text", {"/proc/self/mountinfo"});
  if (!got.done()) return context.add("mountinfo", Verdict::not_run, got.text());
  std::string writable;
  std::size_t count = 0;
  for (const Shown& shown : read_mounts(got.detail)) {
    const auto& mounts = context.plan().spec.mounts;
    const auto mount = std::find_if(mounts.rbegin(), mounts.rend(), [&](const sandbox::Mount& one) {
      return one.target == shown.point;
    });
    const bool reads = shown.point == "/" || (mount != mounts.rend() && !mount->writable &&
                                              mount->kind == sandbox::MountKind::bind);
    if (!reads) continue;
    ++count;
    if (!has_option(shown, "ro")) writable += shown.point + " ";
  }
  context.add("mounts", writable.empty() ? Verdict::pass : Verdict::fail,
              writable.empty() ? std::to_string(count) + " are read-only"
                               : "writable: " + escape_for_terminal(writable));
}

void check_limits(Context& context) {
  rlimit own{};  // 1 keeps the host's handler from being run; a hard limit of 0 cannot be raised
  const bool raised = ::getrlimit(RLIMIT_CORE, &own) != 0 || own.rlim_max != 0;
  context.must_be("core dumps", "limit", {std::to_string(RLIMIT_CORE)}, raised ? "1 1" : "0 0");
  // The caller's own may be lower.
  for (const sandbox::Limit& limit : context.plan().spec.limits) {
    const Outcome got = context.inside("limit", {std::to_string(limit.resource)});
    std::istringstream values(got.detail);
    std::uint64_t soft = 0, hard = 0;
    const bool holds =
        got.done() && values >> soft >> hard && soft <= limit.value && hard <= limit.value;
    context.add("limit " + std::to_string(limit.resource),
                got.kind == Outcome::Kind::not_run ? Verdict::not_run
                : holds                            ? Verdict::pass
                                                   : Verdict::fail,
                got.text() + ", the plan says " + std::to_string(limit.value));
  }
  context.must_be("session", "session", {}, "1");
}

void check_user_namespaces(Context& context) {
  const plan::Plan& plan = context.plan();
  const std::string user = std::to_string(CLONE_NEWUSER);
  Outcome unshared = context.inside("unshare", {user});
  Outcome cloned = context.inside("clone", {user});
  if (plan.spec.nested_userns) {
    for (const plan::Note& waiver : plan.waivers) {
      if (waiver.text.starts_with("nested_userns"))
        context.add("unshare, clone", Verdict::waived, "allowed", waiver.origin);
    }
    return;
  }
  Outcome control = context.outside("unshare", {user});
  context.judge_refused("unshare", unshared, control, {EPERM, ENOSYS, ENOSPC});
  context.judge_refused("clone", cloned, control, {EPERM, ENOSYS, ENOSPC});
  context.must_be("max_user_namespaces", "text", {"/proc/sys/user/max_user_namespaces"}, "0\n");
}

/// Real operands. The control is in a user and mount namespace of its own, where these calls
/// succeed and change nothing for anybody else.
void check_mounts(Context& context) {
  struct Attempt {
    const char* verb;
    Words words;
  };
  const Attempt attempts[] = {{"mount", {"/tmp"}},
                              {"bind", {"/usr", "/tmp"}},
                              {"open-tree", {"/tmp"}},
                              {"fsopen", {"tmpfs"}},
                              {"chroot", {"/tmp"}}};
  const std::string own = std::to_string(CLONE_NEWUSER | CLONE_NEWNS);
  for (const Attempt& attempt : attempts) {
    Words unshared{own, attempt.verb};
    unshared.insert(unshared.end(), attempt.words.begin(), attempt.words.end());
    context.judge_refused(attempt.verb, context.inside(attempt.verb, attempt.words),
                          context.outside("unshared", unshared), {EPERM, EACCES, ENOSYS});
  }
  // No control: outside, what is mounted is locked as well.
  for (const char* verb : {"remount", "umount", "pivot-root"}) {
    std::string where = std::string(verb) == "umount" ? "/proc" : "/";
    Outcome got = context.inside(verb, {where});
    context.judge_refused(std::string(verb) + " " + where, got, {Outcome::Kind::done, 0, {}},
                          {EPERM, EACCES, ENOSYS, EINVAL});
  }
}

void check_environment(Context& context) {
  const plan::Plan& plan = context.plan();
  Outcome got = context.inside("environment");
  if (!got.done()) return context.add("environment", Verdict::not_run, got.text());
  std::string names, all;
  for (const std::string& variable : plan.spec.environment) {
    names.append("\n").append(variable.substr(0, variable.find('=')));
    all.append(variable).push_back('\0');
  }
  bool equal = got.detail.starts_with(sha256_hex(all));
  context.add("variables", equal ? Verdict::pass : Verdict::fail,
              equal ? std::to_string(plan.spec.environment.size()) + " as the plan has them"
                    : "not what the plan has: " + escape_for_terminal(got.detail));
}

/// Also init's, which began as a copy of this process.
void check_canary_variable(Context& context) {
  const char* value = std::getenv(kCanaryVariable);
  if (value == nullptr || *value == '\0')
    return context.add(kCanaryVariable, Verdict::not_run, "there is no canary variable");
  Outcome got = context.inside("environ-scan", {value});
  for (const plan::EnvironmentVariable& variable : context.plan().environment) {
    if (variable.name == kCanaryVariable && got.done())
      return context.add("a variable that nobody listed", Verdict::waived, "passed: " + got.text(),
                         variable.origin);
  }
  context.judge_refused("a variable that nobody listed", got,
                        context.outside("environ-scan", {value}), {ENOENT});
}

/// The numbers of its descriptors can be listed by root's sandbox; what they are cannot be seen.
void check_init(Context& context) {
  struct Part {
    const char* verb;
    const char* name;
    const char* own;  ///< of the probe itself, which is open to it: the control, inside
  };
  constexpr Part kParts[] = {{"reveal", "environ", "environ"}, {"reveal", "mem", "mem"},
                             {"reveal", "maps", "maps"},       {"reveal", "auxv", "auxv"},
                             {"readlink", "fd/3", "fd/0"},     {"readlink", "root", "root"},
                             {"readlink", "cwd", "cwd"},       {"readlink", "exe", "exe"}};
  for (const Part& part : kParts) {
    const std::string path = std::string("/proc/1/") + part.name;
    context.judge_refused(path, context.inside(part.verb, {path}),
                          context.inside(part.verb, {std::string("/proc/self/") + part.own}),
                          {EACCES, EPERM});
  }
}

/// It names what is hidden.
void check_command_line(Context& context) {
  context.judge_refused("words of the command line",
                        context.inside("command-line-scan", {"verify"}),
                        context.outside("command-line-scan", {"verify"}), {ENOENT});
}

constexpr Row kRows[] = {
    {"identity.capabilities", "every capability set is empty", "capabilities", check_capabilities},
    {"identity.privileges", "no program gives privileges", "no_new_privs, mount", check_privileges},
    {"files.mounts", "what may only be read is mounted read-only", "mount", check_read_only},
    {"identity.limits", "no core dumps, the profile's limits, a session of its own",
     "rlimit, setsid", check_limits},
    {"identity.userns", "no user namespaces can be made", "sysctl, seccomp", check_user_namespaces},
    {"identity.mounts", "mounts cannot be made or removed", "capabilities, seccomp, Landlock",
     check_mounts},
    {"environment.list", "the environment is the plan's", "init", check_environment},
    {"environment.canary", "a variable of the caller is nowhere", "init, dumpable",
     check_canary_variable},
    {"environment.init", "process 1 cannot be inspected", "dumpable, seccomp", check_init},
    {"environment.arguments", "the command line of dirbox is nowhere", "init", check_command_line},
};

}  // namespace

std::span<const Row> identity_rows() { return kRows; }

}  // namespace dirbox::verify
