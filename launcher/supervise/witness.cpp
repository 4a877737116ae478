#include "launcher/supervise/witness.h"

#include <sys/stat.h>

#include <algorithm>

#include "seccomp/groups.h"
#include "seccomp/observed.h"

namespace dirbox::supervise {
namespace {

/// Files are opened, made and renamed by its queue, which no filter sees (io_uring(7)).
bool has_io_uring(const plan::Plan& plan) {
  const seccomp::Call* call = seccomp::find_call("io_uring_setup");
  const int number = call != nullptr ? call->number(seccomp::kNativeArch) : -1;
  return number >= 0 &&
         plan.syscalls
             .decide(seccomp::kNativeArch, static_cast<std::uint32_t>(number), {0, 0, 0, 0, 0, 0})
             .action.permits();
}

/// Whether a rule of the profile lets calls pass that the filter would ask about.
bool passes_unseen(const plan::Plan& plan, const seccomp::Observed& observed) {
  const seccomp::Call* call = seccomp::find_call(observed.call);
  if (call == nullptr || call->number(seccomp::kNativeArch) < 0 || observed.from > plan.observe)
    return false;
  for (const seccomp::Clause& clause : plan.syscalls.clauses(*call)) {
    if (!clause.action.permits()) continue;
    return clause.action.kind != seccomp::ActionKind::notify;
  }
  return false;
}

/// Who reads what it writes there may be a program of the host that takes orders, such as an editor
/// that runs an agent.
bool is_connected(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

bool is_socket_granted(const plan::PathRule& rule) {
  return rule.type == plan::FileType::socket &&
         (rule.access == plan::PathAccess::read || rule.access == plan::PathAccess::write);
}

bool may_act_unseen(const plan::Plan& plan) {
  const auto observed = seccomp::observed_calls();
  if (std::any_of(observed.begin(), observed.end(),
                  [&](const auto& row) { return passes_unseen(plan, row); }))
    return true;
  return plan.observe == seccomp::Observe::none || plan.spec.nested_userns || has_io_uring(plan) ||
         is_connected(0) || is_connected(1) || is_connected(2) ||
         plan.network.mode == netns::Mode::host || !plan.network.host_ports.empty() ||
         std::any_of(plan.rules.begin(), plan.rules.end(), is_socket_granted);
}

}  // namespace

guard::Witness make_witness(const plan::Plan& plan, Observer& observer, const AttachServer& attach,
                            const Broker& broker, const Docker& docker) {
  if (may_act_unseen(plan)) return {};
  auto is_alone = [&] { return !broker.used() && !attach.used() && !docker.used(); };
  return {[=, &observer]() -> std::optional<std::uint64_t> {
            return is_alone() ? observer.settle() : std::nullopt;
          },
          [=, &observer](std::uint64_t since) { return is_alone() && observer.is_silent(since); }};
}

}  // namespace dirbox::supervise
