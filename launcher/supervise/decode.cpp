#include <fmt/format.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>

#include <span>

#include "launcher/supervise/look.h"

/// What the arguments of denied calls mean.
namespace dirbox::supervise {
namespace {

struct Word {
  std::uint64_t value;
  std::string_view name;
};

constexpr Word kRequests[] = {
    {PTRACE_TRACEME, "PTRACE_TRACEME"},   {PTRACE_PEEKTEXT, "PTRACE_PEEKTEXT"},
    {PTRACE_PEEKDATA, "PTRACE_PEEKDATA"}, {PTRACE_POKETEXT, "PTRACE_POKETEXT"},
    {PTRACE_POKEDATA, "PTRACE_POKEDATA"}, {PTRACE_ATTACH, "PTRACE_ATTACH"},
    {PTRACE_SEIZE, "PTRACE_SEIZE"},       {PTRACE_SYSCALL, "PTRACE_SYSCALL"}};
constexpr Word kIoctls[] = {{0x5412, "TIOCSTI"}, {0x541c, "TIOCLINUX"}};
constexpr Word kFamilies[] = {
    {AF_PACKET, "AF_PACKET"},   {AF_VSOCK, "AF_VSOCK"}, {AF_ALG, "AF_ALG"},
    {AF_NETLINK, "AF_NETLINK"}, {AF_KEY, "AF_KEY"},     {AF_BLUETOOTH, "AF_BLUETOOTH"},
    {AF_TIPC, "AF_TIPC"},       {AF_RDS, "AF_RDS"},     {AF_INET, "AF_INET"},
    {AF_INET6, "AF_INET6"},     {AF_UNIX, "AF_UNIX"}};
constexpr Word kKeyOperations[] = {{KEYCTL_GET_KEYRING_ID, "KEYCTL_GET_KEYRING_ID"},
                                   {KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING"},
                                   {KEYCTL_READ, "KEYCTL_READ"},
                                   {KEYCTL_SEARCH, "KEYCTL_SEARCH"},
                                   {KEYCTL_DESCRIBE, "KEYCTL_DESCRIBE"}};
constexpr Word kCloneFlags[] = {{CLONE_NEWUSER, "CLONE_NEWUSER"},    {CLONE_NEWNS, "CLONE_NEWNS"},
                                {CLONE_NEWPID, "CLONE_NEWPID"},      {CLONE_NEWNET, "CLONE_NEWNET"},
                                {CLONE_NEWIPC, "CLONE_NEWIPC"},      {CLONE_NEWUTS, "CLONE_NEWUTS"},
                                {CLONE_NEWCGROUP, "CLONE_NEWCGROUP"}};

/// A letter per argument: d number, x hexadecimal, s text, and the words of a table:
/// p requests of ptrace, i of ioctl, a address families, k keyctl, f flags of clone.
struct Shape {
  std::string_view call, arguments;
};
constexpr Shape kShapes[] = {{"ptrace", "pdxx"},
                             {"process_vm_readv", "dxdxdx"},
                             {"process_vm_writev", "dxdxdx"},
                             {"kcmp", "ddddd"},
                             {"pidfd_getfd", "ddx"},
                             {"ioctl", "dix"},
                             {"socket", "add"},
                             {"socketpair", "addx"},
                             {"keyctl", "kxxxx"},
                             {"add_key", "ssxdx"},
                             {"request_key", "sssx"},
                             {"unshare", "f"},
                             {"setns", "df"},
                             {"clone", "f"},
                             {"mount", "sssxx"},
                             {"umount2", "sx"},
                             {"pivot_root", "ss"},
                             {"chroot", "s"},
                             {"fsopen", "sx"},
                             {"fsmount", "dxx"},
                             {"open_tree", "dsx"},
                             {"move_mount", "dsdsx"},
                             {"fspick", "dsx"},
                             {"bpf", "dxd"},
                             {"perf_event_open", "xdddx"},
                             {"userfaultfd", "x"},
                             {"personality", "x"},
                             {"prctl", "dxxxx"},
                             {"swapon", "sx"},
                             {"swapoff", "s"},
                             {"mknod", "sxx"},
                             {"mknodat", "dsxx"},
                             {"sethostname", "sd"},
                             {"acct", "s"},
                             {"open_by_handle_at", "dxx"}};

std::string word_of(std::span<const Word> words, std::uint64_t value) {
  // The kernel takes 32 bits of these.
  for (const Word& word : words) {
    if (word.value == (value & 0xffffffff)) return std::string(word.name);
  }
  return fmt::format("{:#x}", value);
}

std::string flags_of(std::span<const Word> words, std::uint64_t value) {
  std::string out;
  for (const Word& word : words) {
    if ((value & word.value) == 0) continue;
    out += (out.empty() ? "" : "|") + std::string(word.name);
    value &= ~word.value;
  }
  if (value != 0 || out.empty()) out += fmt::format("{}{:#x}", out.empty() ? "" : "|", value);
  return out;
}

std::string argument_text(char letter, std::uint64_t value, const Task& task) {
  switch (letter) {
    case 'd':
      return std::to_string(static_cast<int>(value));
    case 's': {
      if (value == 0) return "NULL";
      auto text = task.text(value);
      return text ? "\"" + *text + "\"" : fmt::format("{:#x}", value);
    }
    case 'p':
      return word_of(kRequests, value);
    case 'i':
      return word_of(kIoctls, value);
    case 'a':
      return word_of(kFamilies, value);
    case 'k':
      return word_of(kKeyOperations, value);
    case 'f':
      return flags_of(kCloneFlags, value);
    default:
      return fmt::format("{:#x}", value);
  }
}

}  // namespace

std::string decode_call(const seccomp::Notification& call, const Task& task) {
  if (call.call == nullptr) return call.text();
  for (const Shape& shape : kShapes) {
    if (shape.call != call.call->name) continue;
    std::string out = std::string(shape.call) + "(";
    for (std::size_t i = 0; i < shape.arguments.size(); ++i) {
      out += (i == 0 ? "" : ", ") + argument_text(shape.arguments[i], call.args[i], task);
    }
    return out + ")";
  }
  return call.text();
}

}  // namespace dirbox::supervise
