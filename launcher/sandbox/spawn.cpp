#include "launcher/sandbox/spawn.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "launcher/base/unix_socket.h"
#include "launcher/sandbox/control.h"
#include "launcher/sandbox/init.h"
#include "launcher/sandbox/sys.h"
#include "launcher/sandbox/test_skip.h"

namespace dirbox::sandbox {
namespace {

std::string_view clone_hint(int err) {
  switch (err) {
    case EPERM:
      return "user namespaces are forbidden to this program "
             "(kernel.apparmor_restrict_unprivileged_userns, "
             "kernel.unprivileged_userns_clone, or a container's seccomp filter): run dirbox "
             "doctor";
    case ENOSPC:
    case EUSERS:
      return "user.max_user_namespaces (or another user.max_*_namespaces) is used up or 0: raise "
             "it with sysctl";
    case ENOSYS:
      if (::access("/run/dirbox/policy.json", F_OK) == 0)
        return "this is the inside of a sandbox, where none can be made: run the command as it is";
      return "clone3 is not available: the kernel or a container's seccomp filter is too old";
    case EINVAL:
      return "the kernel lacks one of the namespaces: CONFIG_USER_NS, PID_NS, NET_NS, IPC_NS, "
             "UTS_NS, CGROUPS";
    default:
      return {};
  }
}

/// Beside the user namespace.
struct Namespace {
  std::string_view name;
  std::uint64_t flag;
};
constexpr Namespace kNamespaces[] = {
    {"mount-namespace", CLONE_NEWNS},      {"pid-namespace", CLONE_NEWPID},
    {"ipc-namespace", CLONE_NEWIPC},       {"uts-namespace", CLONE_NEWUTS},
    {"cgroup-namespace", CLONE_NEWCGROUP}, {"net-namespace", CLONE_NEWNET}};

}  // namespace

std::vector<std::string_view> list_namespaces() {
  std::vector<std::string_view> names;
  for (const Namespace& space : kNamespaces) names.push_back(space.name);
  return names;
}

Result<Sandbox> spawn_sandbox(const Spec& spec, const RunOptions& options) {
  SocketPair pair = TRY(make_socket_pair());
  clone_args args{};
  args.flags = CLONE_NEWUSER;
  for (const Namespace& space : kNamespaces) {
    if (space.flag == CLONE_NEWNET && !spec.own_network) continue;
    if (!is_skipped(options, space.name)) args.flags |= space.flag;
  }
  args.exit_signal = SIGCHLD;
  long pid = ::syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) return fail_errno("create the namespaces", "clone3", errno, clone_hint(errno));
  if (pid == 0) {
    pair.ours.reset();
    run_init(spec, options, std::move(pair.theirs));
  }
  Sandbox sandbox;
  sandbox.pid = static_cast<pid_t>(pid);
  sandbox.control = std::move(pair.ours);
  return sandbox;
}

Result<void> let_command_start(const Sandbox& sandbox) {
  return send_control(sandbox.control.get(), ControlType::proceed, 0);
}

}  // namespace dirbox::sandbox
