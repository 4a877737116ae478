#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "launcher/base/text.h"
#include "launcher/verify/context.h"
#include "launcher/verify/verify.h"

namespace dirbox::verify {
namespace {

void check_processes(Context& context) {
  std::vector<std::string> expected;
  if (!context.plan().spec.attach.empty()) expected.emplace_back("starter");
  if (!context.plan().spec.guarded.empty()) expected.emplace_back("writer");
  context.must_refuse("other processes in /proc", "processes", expected, {ENOENT});
}

void check_signals(Context& context) {
  Canaries& canaries = context.canaries();
  const std::string fatal = std::to_string(SIGKILL);
  Outcome control = context.outside("kill", {std::to_string(canaries.decoy), fatal});
  Outcome got = context.inside("kill", {std::to_string(canaries.victim), fatal});
  if (!canaries.victim_lives())
    return context.add("killing a process of the host", Verdict::fail, "it died");
  context.judge_refused("killing a process of the host", got, control, {ESRCH, EPERM});
}

void check_abstract(Context& context) {
  Canaries& canaries = context.canaries();
  Outcome control = context.outside("connect-abstract", {canaries.token});
  bool arrives = canaries.take_abstract();
  Outcome got = context.inside("connect-abstract", {canaries.token});
  bool reached = canaries.take_abstract();
  constexpr int kAbiWithScopes = 6;
  const Origin* origin = network_waiver(context);
  if (origin != nullptr && context.landlock_abi() < kAbiWithScopes)
    return context.add("an abstract socket", Verdict::waived, got.text(), *origin);
  if (reached) return context.add("an abstract socket", Verdict::fail, "it was reached");
  if (!arrives) control = {Outcome::Kind::not_run, 0, "no connection arrived"};
  context.judge_refused("an abstract socket", got, control, {ECONNREFUSED, EPERM});
}

void check_names(Context& context) {
  Outcome host = context.outside("node-name");
  const std::string& wanted = context.plan().spec.hostname;
  if (host.done() && host.detail == wanted)
    return context.add("host name", Verdict::absent, "the host's is the same");
  context.must_be("host name", "node-name", {}, wanted);
}

void check_control_groups(Context& context) {
  context.must_refuse("their names in /proc/self/cgroup", "control-groups", {}, {ENOENT});
}

/// In the sandbox as it would be, without the servers that verify lets the other one reach.
void check_profile(Context& context) {
  if (context.plan().checks.empty()) return;
  Runner* plain = context.plain();
  for (const profiles::VerifyCheck& check : context.plan().checks) {
    std::string subject = check.why.empty() ? check.run : check.why;
    Outcome got = plain != nullptr ? plain->inside("shell", {check.run})
                                   : Outcome{Outcome::Kind::not_run, 0, context.plain_failure()};
    constexpr std::string_view kNotFound = "exit status 127";
    bool missing = got.detail == kNotFound;
    if (got.kind == Outcome::Kind::not_run || (check.blocked && missing)) {
      context.add(subject, Verdict::not_run, missing ? "a command is missing inside" : got.text(),
                  check.origin);
      continue;
    }
    std::string detail = got.done() ? "exit status 0" : got.detail;
    bool holds = got.done() != check.blocked;
    context.add(subject, holds ? Verdict::pass : Verdict::fail,
                holds ? detail
                      : detail + ": " + escape_for_terminal(check.run) + ", expected " +
                            (check.blocked ? "blocked" : "ok"),
                check.origin);
  }
}

/// What the plan itself calls weaker: also what no probe above can tell.
void check_waivers(Context& context) {
  for (const plan::Note& waiver : context.plan().waivers)
    context.add(waiver.text, Verdict::waived, "so the profile wants it", waiver.origin);
  if (!context.plan().waivers.empty()) return;
  const Outcome runs = context.inside("cwd");
  context.add("layers", runs.done() ? Verdict::pass : Verdict::not_run,
              runs.done() ? "all are in force" : runs.text());
}

constexpr Row kRows[] = {
    {"processes.visible", "no process of the host can be seen", "pid namespace", check_processes},
    {"processes.signals", "no process of the host can be signalled", "pid namespace, Landlock",
     check_signals},
    {"network.abstract", "abstract sockets of the host are out of reach", "net namespace, Landlock",
     check_abstract},
    {"host.name", "the host name is the sandbox's own", "uts namespace", check_names},
    {"host.groups", "the host's control groups are not named", "cgroup namespace",
     check_control_groups},
    {"profile.waivers", "no layer is given up", "all", check_waivers},
    {"profile.checks", "what the profile's [[verify]] lines expect", "all", check_profile},
};

}  // namespace

std::span<const Row> host_rows() { return kRows; }

}  // namespace dirbox::verify
