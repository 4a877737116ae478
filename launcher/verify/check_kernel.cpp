#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "launcher/verify/context.h"
#include "launcher/verify/verify.h"
#include "seccomp/groups.h"
#include "seccomp/policy.h"

namespace dirbox::verify {
namespace {

constexpr std::uint64_t kBad = 8;            // a pointer into the page that is never mapped
constexpr std::uint64_t kNone = ~0ULL;       // no descriptor, no flags that exist
constexpr std::uint64_t kHigh = 1ULL << 32;  // what the kernel cuts off

/// A call with operands that an unfiltered kernel refuses, so that the filter's answer can be told
/// from the kernel's.
struct Attempt {
  const char* subject;
  const char* call;
  std::uint64_t args[6];
};

constexpr Attempt kClosed[] = {
    {"io_uring_setup", "io_uring_setup", {1, kBad}},
    {"io_uring_enter", "io_uring_enter", {kNone}},
    {"io_uring_register", "io_uring_register", {kNone}},
    {"bpf", "bpf", {0, kBad, 64}},
    {"perf_event_open", "perf_event_open", {kBad, 0, kNone, kNone, 0}},
    {"userfaultfd", "userfaultfd", {kNone}},
    {"keyctl", "keyctl", {0xffff}},
    {"add_key", "add_key", {kBad, kBad, 0, 0, 0}},
    {"request_key", "request_key", {kBad, kBad, 0, 0}},
    {"ptrace", "ptrace", {2, 0}},
    {"process_vm_readv", "process_vm_readv", {0, kBad, 1, kBad, 1, 0}},
    {"process_vm_writev", "process_vm_writev", {0, kBad, 1, kBad, 1, 0}},
    {"kcmp", "kcmp", {0, 0, 0}},
    {"pidfd_getfd", "pidfd_getfd", {kNone, 0, 0}},
    {"unshare", "unshare", {1}},
    {"setns", "setns", {kNone, 0}},
    {"clone3", "clone3", {kBad, 64}},
    {"mount", "mount", {kBad, kBad, kBad, 0, 0}},
    {"umount2", "umount2", {kBad, 0}},
    {"move_mount", "move_mount", {kNone, kBad, kNone, kBad, 0}},
    {"open_tree", "open_tree", {kNone, kBad, 0}},
    {"fsopen", "fsopen", {kBad, 0}},
    {"fsmount", "fsmount", {kNone, 0, 0}},
    {"mount_setattr", "mount_setattr", {kNone, kBad, 0, kBad, 32}},
    {"open_by_handle_at", "open_by_handle_at", {kNone, kBad, 0}},
    {"name_to_handle_at", "name_to_handle_at", {kNone, kBad, kBad, kBad, 0}},
    {"init_module", "init_module", {kBad, 0, kBad}},
    {"finit_module", "finit_module", {kNone, kBad, 0}},
    {"fanotify_init", "fanotify_init", {kNone, 0}},
    {"clock_settime", "clock_settime", {0, kBad}},
    {"settimeofday", "settimeofday", {kBad, 0}},
    {"swapoff", "swapoff", {kBad}},
    {"quotactl", "quotactl", {0, kBad, 0, kBad}},
};

constexpr Attempt kTerminal[] = {
    {"TIOCSTI", "ioctl", {kNone, TIOCSTI, kBad}},
    {"TIOCSTI, high bits set", "ioctl", {kNone, TIOCSTI | kHigh, kBad}},
    {"TIOCSTI, all high bits set", "ioctl", {kNone, TIOCSTI | 0xffffffff00000000, kBad}},
    {"TIOCLINUX", "ioctl", {kNone, TIOCLINUX, kBad}},
    {"TIOCLINUX, high bits set", "ioctl", {kNone, TIOCLINUX | kHigh, kBad}},
    {"TIOCSETD", "ioctl", {kNone, TIOCSETD, kBad}},
};

constexpr std::uint64_t kMptcp = 262;
constexpr Attempt kSockets[] = {
    {"AF_VSOCK", "socket", {AF_VSOCK, SOCK_STREAM, 0}},
    {"AF_VSOCK, high bits set", "socket", {AF_VSOCK | kHigh, SOCK_STREAM, 0}},
    {"AF_PACKET", "socket", {AF_PACKET, SOCK_RAW, 0}},
    {"AF_ALG", "socket", {AF_ALG, SOCK_SEQPACKET, 0}},
    {"AF_BLUETOOTH", "socket", {AF_BLUETOOTH, SOCK_RAW, 1}},
    {"AF_CAN", "socket", {AF_CAN, SOCK_RAW, 1}},
    {"AF_KEY", "socket", {AF_KEY, SOCK_RAW, 2}},
    {"AF_TIPC", "socket", {AF_TIPC, SOCK_RDM, 0}},
    {"netfilter", "socket", {AF_NETLINK, SOCK_RAW, 12}},
    {"kernel events", "socket", {AF_NETLINK, SOCK_RAW, 15}},
    {"ping", "socket", {AF_INET, SOCK_DGRAM, IPPROTO_ICMP}},
    {"raw IP", "socket", {AF_INET, SOCK_RAW, IPPROTO_ICMP}},
    {"raw IPv6", "socket", {AF_INET6, SOCK_RAW, IPPROTO_ICMPV6}},
    {"SCTP", "socket", {AF_INET, SOCK_STREAM, IPPROTO_SCTP}},
    {"MPTCP", "socket", {AF_INET, SOCK_STREAM, kMptcp}},
};

/// The same refusal on both sides says nothing about the filter.
Outcome differ_from(Outcome control, const Outcome& expected) {
  bool same = control.kind == expected.kind && control.err == expected.err;
  return same ? control : Outcome{Outcome::Kind::done, 0, {}};
}

void judge_call(Context& context, const Attempt& attempt) {
  const seccomp::Call* call = seccomp::find_call(attempt.call);
  int number = call != nullptr ? call->number(seccomp::kNativeArch) : -1;
  if (number < 0)
    return context.add(attempt.subject, Verdict::absent, "this architecture has no such call");
  seccomp::Decision decided = context.plan().syscalls.decide(
      seccomp::kNativeArch, static_cast<std::uint32_t>(number), attempt.args);
  if (decided.action.permits()) {
    bool profile = decided.source->kind == seccomp::Source::Kind::profile;
    return context.add(attempt.subject, profile ? Verdict::waived : Verdict::absent,
                       "the filter permits it: " + decided.source->text(),
                       profile ? decided.source->origin : Origin{});
  }
  Words words{std::to_string(number)};
  for (std::uint64_t argument : attempt.args) words.push_back(std::to_string(argument));
  Outcome got = context.inside("syscall", words);
  Outcome expected{Outcome::Kind::refused, decided.action.err, {}};
  if (decided.action.kind == seccomp::ActionKind::kill)
    expected = {Outcome::Kind::killed, SIGSYS, {}};
  Outcome control = differ_from(context.outside("syscall", words), expected);
  bool as_decided = got.kind == expected.kind && got.err == expected.err;
  if (got.kind == Outcome::Kind::not_run) {
    context.add(attempt.subject, Verdict::not_run, got.text());
  } else if (!as_decided) {
    context.add(attempt.subject, Verdict::fail,
                "inside: " + got.text() + ", the policy says " + decided.action.text());
  } else if (!control.done()) {
    context.add(attempt.subject, Verdict::absent, "outside: " + control.text());
  } else {
    context.add(attempt.subject, Verdict::pass, got.text());
  }
}

void check_filter(Context& context) {
  context.must_be("Seccomp", "status", {"Seccomp"}, "2");
  Outcome got = context.inside("status", {"Seccomp_filters"});
  Outcome control = context.outside("status", {"Seccomp_filters"});
  if (!got.done() || !control.done())
    return context.add("Seccomp_filters", Verdict::absent, "this kernel does not count them");
  bool more = number(got.detail) > number(control.detail);
  context.add("Seccomp_filters", more ? Verdict::pass : Verdict::fail,
              got.detail + ", outside " + control.detail);
}

void check_closed(Context& context) {
  for (const Attempt& attempt : kClosed) judge_call(context, attempt);
}
void check_terminal(Context& context) {
  for (const Attempt& attempt : kTerminal) judge_call(context, attempt);
}
void check_families(Context& context) {
  for (const Attempt& attempt : kSockets) judge_call(context, attempt);
}

/// A kernel takes 16 domains, one upon the other: inside, there is room for fewer than outside.
/// And what was passed for writing only: of all layers, Landlock alone refuses to open it anew for
/// reading.
void check_landlock(Context& context) {
  if (!context.plan().spec.landlock)
    return context.add("domain", Verdict::absent, "the plan does without");
  std::uint64_t args[6] = {kBad, 8, 0, 0, 0, 0};
  const seccomp::Call* call = seccomp::find_call("landlock_create_ruleset");
  int create = call->number(seccomp::kNativeArch);
  bool open = context.plan()
                  .syscalls.decide(seccomp::kNativeArch, static_cast<std::uint32_t>(create), args)
                  .action.permits();
  Outcome got = context.inside("landlock-room"), control = context.outside("landlock-room");
  if (!open) {
    context.add("domain", Verdict::absent, "the filter closes the calls that could tell");
  } else if (!got.done() || !control.done()) {
    context.add("domain", Verdict::not_run, got.done() ? control.text() : got.text());
  } else {
    bool fewer = number(got.detail) < number(control.detail);
    context.add("domain", fewer ? Verdict::pass : Verdict::fail,
                "room for " + got.detail + " more, outside " + control.detail);
  }
  const std::string reading = std::to_string(O_RDONLY);
  const std::string ours =
      "/proc/self/fd/" + std::to_string(context.canaries().tmp_write_only.get());
  context.judge_refused("reading a file passed for writing",
                        context.inside("open", {"/proc/self/fd/2", reading}),
                        context.outside("open", {ours, reading}), {EACCES});
}

constexpr Row kRows[] = {
    {"kernel.filter", "a filter of system calls is in force", "seccomp", check_filter},
    {"kernel.calls", "closed system calls are refused as the policy says", "seccomp", check_closed},
    {"kernel.terminal", "nothing types into a terminal", "seccomp", check_terminal},
    {"kernel.sockets", "odd socket families are refused", "seccomp", check_families},
    {"kernel.landlock", "a Landlock domain is in force", "Landlock", check_landlock},
};

}  // namespace

std::span<const Row> kernel_rows() { return kRows; }

}  // namespace dirbox::verify
