#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "launcher/base/text.h"
#include "launcher/plan/sockets.h"
#include "launcher/verify/context.h"

/// Things of the host that have names: IPC objects, keys, sockets, terminals, files of the kernel.
namespace dirbox::verify {
namespace {

void check_ipc(Context& context) {
  Canaries& canaries = context.canaries();
  const std::string key = std::to_string(canaries.ipc_key);
  const std::initializer_list<int> errors = {ENOENT, EPERM, ENOSYS};
  context.must_refuse("System V shared memory", "shm", {key}, errors);
  context.must_refuse("System V semaphores", "sem", {key}, errors);
  context.must_refuse("System V message queues", "msg", {key}, errors);
  context.must_refuse("POSIX message queues", "mqueue", {canaries.queue_name()}, errors);
  for (const std::string& path : {canaries.shm_path, canaries.tmp_path}) {
    if (path.empty()) continue;
    Outcome got = context.inside("exists", {path});
    const plan::PathRule* rule = plan::find_rule(context.plan(), path);
    if (got.done() && rule != nullptr && rule->access != plan::PathAccess::hide) {
      context.add(path, Verdict::waived, "granted", rule->origin);
    } else {
      context.judge_refused(path, got, context.outside("exists", {path}), {ENOENT, EACCES});
    }
  }
}

/// Where the filter closes keyctl, which it does but for profiles that ask for it, that is what
/// refuses; else the session keyring is the sandbox's own.
void check_keys(Context& context) {
  context.must_refuse("a key of the caller's session", "key", {context.canaries().queue_name()},
                      {ENOKEY, EPERM, ENOSYS, EACCES});
  context.must_refuse("the list of keys", "reveal", {"/proc/keys"}, {EACCES, EPERM, ENOENT});
}

/// Sockets that hosts have, as far as this one does. What the profile grants has its waiver.
void check_sockets(Context& context) {
  const std::string run = "/run/user/" + std::to_string(::getuid());
  std::vector<std::string> paths = {context.canaries().servers.engine(),
                                    "/var/run/docker.sock",
                                    "/run/podman/podman.sock",
                                    run + "/docker.sock",
                                    run + "/podman/podman.sock",
                                    "/run/containerd/containerd.sock",
                                    "/run/crio/crio.sock",
                                    "/run/dbus/system_bus_socket",
                                    run + "/bus",
                                    "/run/systemd/private",
                                    run + "/systemd/private",
                                    run + "/gnupg/S.gpg-agent",
                                    run + "/keyring/control",
                                    run + "/pipewire-0",
                                    run + "/pulse/native",
                                    run + "/wayland-0",
                                    "/tmp/.X11-unix/X0",
                                    "/tmp/tmux-" + std::to_string(::getuid()) + "/default",
                                    "/run/snapd.socket",
                                    "/run/libvirt/libvirt-sock",
                                    "/var/lib/lxd/unix.socket",
                                    "/var/lib/incus/unix.socket"};
  for (const char* variable : {"SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"}) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value != '/') continue;
    const std::string path = value;
    for (const char* more : {"", "/bus", "/docker.sock", "/wayland-0"})
      paths.push_back(path + more);
  }
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  bool any = false;
  for (const std::string& path : paths) {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0 || !S_ISSOCK(st.st_mode)) continue;
    any = true;
    const Outcome got = context.inside("connect-unix", {path});
    const plan::PathRule* rule = plan::find_rule(context.plan(), path);
    if (got.done() && rule != nullptr && rule->access != plan::PathAccess::hide) {
      context.add(path, plan::socket_danger(path) ? Verdict::waived : Verdict::absent, "granted",
                  rule->origin);
    } else {
      context.judge_refused(path, got, context.outside("connect-unix", {path}),
                            {ENOENT, EACCES, ECONNREFUSED, ENOTDIR});
    }
  }
  if (!any) context.add("sockets", Verdict::absent, "this host has none of them");
}

void check_terminals(Context& context) {
  const Canaries& canaries = context.canaries();
  if (canaries.terminal.empty())
    return context.add("a terminal of the host", Verdict::absent, "none could be made");
  context.must_refuse("a terminal of the host", "open",
                      {canaries.terminal, std::to_string(O_WRONLY)}, {ENOENT, EACCES, EIO});
}

void check_kernel_files(Context& context) {
  constexpr const char* kWritten[] = {"/proc/sys/kernel/core_pattern",
                                      "/proc/sys/kernel/modprobe",
                                      "/proc/sys/kernel/hostname",
                                      "/proc/sys/kernel/randomize_va_space",
                                      "/proc/sys/vm/overcommit_memory",
                                      "/proc/sys/vm/drop_caches",
                                      "/proc/sys/fs/binfmt_misc/register",
                                      "/proc/sys/fs/suid_dumpable",
                                      "/proc/sys/net/ipv4/ip_forward",
                                      "/proc/sys/user/max_user_namespaces",
                                      "/proc/sysrq-trigger",
                                      "/proc/irq/default_smp_affinity",
                                      "/proc/acpi/wakeup",
                                      "/sys/kernel/uevent_helper",
                                      "/sys/power/state",
                                      "/sys/kernel/mm/ksm/run",
                                      "/sys/fs/cgroup/cgroup.procs",
                                      "/sys/fs/cgroup/release_agent",
                                      "/sys/module/kernel/parameters/panic",
                                      "/sys/kernel/profiling"};
  for (const char* path : kWritten) {
    context.must_refuse(std::string("writing ") + path, "open", {path, std::to_string(O_WRONLY)},
                        {EACCES, EPERM, EROFS, ENOENT});
  }
  for (const char* path : {"/dev/mem", "/dev/kmsg", "/dev/port", "/dev/fuse", "/dev/kvm"}) {
    const plan::PathRule* rule = plan::find_rule(context.plan(), path);
    const Outcome got = context.inside("open", {path, std::to_string(O_RDONLY)});
    if (got.done() && rule != nullptr) {
      context.add(path, Verdict::waived, "granted", rule->origin);
      continue;
    }
    context.judge_refused(path, got, context.outside("open", {path, std::to_string(O_RDONLY)}),
                          {EACCES, EPERM, ENOENT});
  }
  for (const sandbox::Mount& mount : context.plan().spec.mounts) {
    const bool kernel = mount.target.starts_with("/proc/") || mount.target.starts_with("/sys/");
    if (mount.kind != sandbox::MountKind::mask || !kernel) continue;
    context.must_refuse("reading " + mount.target, "reveal", {mount.target},
                        {EACCES, EPERM, ENOENT});
  }
}

/// A directory of the host that the launcher was started with (see Runner).
void check_descriptors(Context& context) {
  context.judge_refused("an inherited directory",
                        context.inside("descriptor", {std::to_string(kCanaryDescriptor)}),
                        {Outcome::Kind::done, 0, {}}, {ENOENT});
  context.judge_refused("descriptors of files", context.inside("descriptors"),
                        context.outside("descriptors"), {ENOENT});
}

/// Another sandbox of the same plan: out of reach from here, gone when its launcher is killed; and
/// this one stays as it was.
void check_sibling(Context& context) {
  Runner* sibling = context.plain();
  if (sibling == nullptr || !sibling->complaint().empty()) {
    return context.add("another sandbox", Verdict::not_run,
                       sibling == nullptr ? context.plain_failure() : sibling->complaint());
  }
  if (const Outcome lives = sibling->inside("cwd"); !lives.done())
    return context.add("another sandbox", Verdict::not_run, lives.text());
  const std::string fatal = std::to_string(SIGKILL);
  const Outcome got = context.inside("kill", {std::to_string(sibling->supervisor()), fatal});
  if (!sibling->inside("cwd").done())
    return context.add("killing its launcher from inside", Verdict::fail, "it died");
  context.judge_refused("killing its launcher from inside", got, {Outcome::Kind::done, 0, {}},
                        {ESRCH, EPERM});
  constexpr int kEndsWithinMs = 1000;
  const bool gone = sibling->kill_supervisor(kEndsWithinMs);
  context.add("kill -9 of its launcher", gone ? Verdict::pass : Verdict::fail,
              gone ? "everything in it ended" : "something in it still runs after a second");
  context.must_be("this one's filter afterwards", "status", {"Seccomp"}, "2");
  context.must_be("this one's directory afterwards", "cwd", {}, context.plan().spec.cwd);
}

constexpr Row kRows[] = {
    {"ipc.objects", "shared memory, semaphores, queues, /dev/shm and /tmp are private",
     "ipc namespace, mount", check_ipc},
    {"ipc.keys", "keys of the caller are out of reach", "keyring, seccomp", check_keys},
    {"ipc.sockets", "sockets of the host are absent", "mount", check_sockets},
    {"ipc.terminals", "terminals of the host are absent", "mount", check_terminals},
    {"ipc.descriptors", "nothing that the launcher inherited is open", "init", check_descriptors},
    {"kernel.files", "files of the kernel cannot be written, nor its secrets read",
     "mount, capabilities", check_kernel_files},
};
constexpr Row kLast[] = {
    {"life.sibling", "another sandbox ends with its launcher, and this one stays",
     "pid namespace, pdeathsig", check_sibling},
};

}  // namespace

std::span<const Row> object_rows() { return kRows; }
std::span<const Row> sibling_rows() { return kLast; }

}  // namespace dirbox::verify
