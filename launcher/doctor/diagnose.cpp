#include "launcher/doctor/diagnose.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/doctor/apparmor.h"

namespace dirbox::doctor {
namespace {

std::string sudo(const HostState& state) { return state.euid == 0 ? "" : "sudo "; }

/// Linux that brought a system call (man2 pages, VERSIONS); the calls that the launcher makes.
struct Since {
  std::string_view call;
  int major, minor;
};
constexpr Since kSince[] = {
    {"clone3", 5, 3},
    {"openat2", 5, 6},
    {"close_range", 5, 9},
    {"open_tree", 5, 2},
    {"move_mount", 5, 2},
    {"fsopen", 5, 2},
    {"fsconfig", 5, 2},
    {"fsmount", 5, 2},
    {"mount_setattr", 5, 12},
    {"pidfd_open", 5, 3},
    {"memfd_create", 3, 17},
    {"landlock_create_ruleset", 5, 13},
    {"landlock_add_rule", 5, 13},
    {"landlock_restrict_self", 5, 13},
    {"seccomp", 3, 17},
};

const Since* find_since(std::string_view call) {
  for (const Since& since : kSince) {
    if (since.call == call) return &since;
  }
  return nullptr;
}

/// The options that let a container's processes do what the launcher does.
std::string container_options(const HostState& state) {
  if (state.container == "podman")
    return "--security-opt seccomp=unconfined --security-opt unmask=ALL";
  return "--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
         "--security-opt systempaths=unconfined";
}

std::string engine(const HostState& state) {
  return state.container == "podman" ? "podman" : "docker";
}

Diagnosis by_sandbox() {
  return {"this is inside a sandbox of dirbox, which makes no room for another",
          "run dirbox doctor outside; for sandboxes within sandboxes, set process.nested_userns = "
          "true in the profile of the outer one",
          {}};
}

Diagnosis by_filter(const HostState& state, const std::string& call) {
  if (state.inside) return by_sandbox();
  Diagnosis d;
  d.cause = fmt::format("a seccomp filter that dirbox was started under refuses {}",
                        call.empty() ? "a system call" : call);
  if (!state.container.empty())
    d.cause += fmt::format("; this is a container ({})", state.container);
  d.fix = fmt::format(
      "start the container with: {} run {} …; outside a container, take away the filter of the "
      "service or sandbox around dirbox (systemd: SystemCallFilter=, RestrictNamespaces=)",
      engine(state), container_options(state));
  return d;
}

Diagnosis by_container(const HostState& state) {
  return {fmt::format("this is a container ({}), and its settings forbid it", state.container),
          fmt::format("start it with: {} run {} …", engine(state), container_options(state)),
          {}};
}

/// Mounts over parts of /proc, which container engines make ("masked paths").
Diagnosis by_covers(const HostState& state) {
  return {fmt::format("proc overmounted: mounts hide {}, and the kernel gives a user namespace no "
                      "fresh /proc that would show more than the one around it",
                      fmt::join(state.proc_covers, ", ")),
          fmt::format("unmount them, or start the container with {}",
                      state.container == "podman" ? "--security-opt unmask=ALL"
                                                  : "--security-opt systempaths=unconfined"),
          {}};
}

Diagnosis by_sysctl(const HostState& state, const std::string& name, const std::string& value,
                    const std::string& cause) {
  Diagnosis d;
  d.cause = cause;
  d.fix = fmt::format("set {} = {}", name, value);
  if (state.nested && name.starts_with("user.")) {
    d.fix +=
        " in the user namespace that this one was made in: the container or sandbox around "
        "dirbox chose the limit";
    return d;
  }
  d.commands = {fmt::format("{}sysctl -w {}={}", sudo(state), name, value),
                fmt::format("echo {}={} | {}tee /etc/sysctl.d/60-dirbox.conf >/dev/null", name,
                            value, sudo(state))};
  return d;
}

Diagnosis by_apparmor(const HostState& state) {
  Diagnosis d;
  d.cause =
      "kernel.apparmor_restrict_unprivileged_userns = 1: AppArmor takes every capability in a user "
      "namespace from a program that no profile names";
  if (state.self.empty()) {
    d.fix =
        "load a profile for the path of dirbox; with /proc mounted, dirbox doctor --fix "
        "prints it";
    return d;
  }
  d.fix = fmt::format("load an AppArmor profile for {}", state.self);
  if (state.self_replaceable)
    d.fix +=
        "; this user can replace that file, and gives its right to any program then: install "
        "it in /usr/local/bin first";
  d.commands = apparmor_commands(state.self, sudo(state));
  return d;
}

Diagnosis by_selinux(const HostState& state) {
  return {
      "SELinux is enforcing and may forbid it; the audit log tells",
      "allow what was denied in a local policy module",
      {fmt::format("{}ausearch -m avc -c dirbox --raw | audit2allow -M dirbox-local", sudo(state)),
       fmt::format("{}semodule -i dirbox-local.pp", sudo(state))}};
}

/// What takes rights from a program in general; no cause when nothing of it is in force.
Diagnosis by_policy(const Outcome& outcome, const HostState& state) {
  if (state.inside) return by_sandbox();
  if (state.sysctl("kernel.apparmor_restrict_unprivileged_userns").value_or(0) != 0 &&
      (state.euid != 0 || state.nested)) {
    return by_apparmor(state);
  }
  if (state.selinux_enforcing) return by_selinux(state);
  if (state.seccomp == 2) return by_filter(state, outcome.call);
  if (!state.container.empty()) return by_container(state);
  return {"a security module or a sandbox around dirbox refuses it",
          "start dirbox outside of that; the kernel's log (dmesg, journalctl -k) may name it",
          {}};
}

Diagnosis by_missing_call(const Outcome& outcome, const HostState& state) {
  const Since* since = find_since(outcome.call);
  if (since != nullptr && state.major != 0 && state.older_than(since->major, since->minor)) {
    return {fmt::format("Linux {} has no {}, which came with {}.{}", state.release, outcome.call,
                        since->major, since->minor),
            "use a kernel of 5.14 or later",
            {}};
  }
  if (state.seccomp == 2) return by_filter(state, outcome.call);
  if (!state.proc) {
    return {fmt::format("a seccomp filter around dirbox, or a kernel built without {}; without "
                        "/proc nothing tells which",
                        outcome.call),
            "mount /proc and run dirbox doctor again",
            {}};
  }
  return {fmt::format("this kernel was built without {}", outcome.call),
          "use a distribution's kernel",
          {}};
}

Diagnosis why_user_namespace(const Outcome& outcome, const HostState& state) {
  switch (outcome.err) {
    case ENOSPC:
    case EUSERS: {
      const auto limit = state.sysctl("user.max_user_namespaces");
      return by_sysctl(state, "user.max_user_namespaces", "15000",
                       limit == 0
                           ? "user.max_user_namespaces is 0"
                           : "user.max_user_namespaces is used up, or 32 user namespaces are "
                             "nested already");
    }
    case EINVAL:
      return {"the kernel was built without user namespaces (CONFIG_USER_NS)",
              "use a distribution's kernel",
              {}};
    case EPERM:
      if (state.sysctl("kernel.unprivileged_userns_clone") == 0 && state.euid != 0) {
        return by_sysctl(state, "kernel.unprivileged_userns_clone", "1",
                         "kernel.unprivileged_userns_clone is 0");
      }
      if (state.chrooted) {
        return {"this process is in a chroot, where the kernel refuses user namespaces",
                "run dirbox outside the chroot, or enter the tree with pivot_root (systemd-nspawn, "
                "bwrap) instead of chroot",
                {}};
      }
      if (state.unmapped) {
        return {
            fmt::format("uid {} has no mapping in the user namespace around dirbox", state.euid),
            "map the uid there, or run as one that is mapped",
            {}};
      }
      if (!state.proc) {
        return {"a chroot or a seccomp filter; without /proc nothing tells which",
                "mount /proc; run dirbox outside the chroot",
                {}};
      }
      break;
    default:
      break;
  }
  return by_policy(outcome, state);
}

Diagnosis why_other_namespace(const Outcome& outcome, const HostState& state) {
  if (outcome.err == EINVAL) {
    return {fmt::format("the kernel was built without {} namespaces", outcome.detail),
            "use a distribution's kernel",
            {}};
  }
  if (outcome.err == ENOSPC || outcome.err == EUSERS) {
    const std::string name = fmt::format("user.max_{}_namespaces", outcome.detail);
    return by_sysctl(state, name, "15000",
                     state.sysctl(name) == 0 ? name + " is 0" : name + " is used up");
  }
  return by_policy(outcome, state);
}

Diagnosis why_id_map(const Outcome& outcome, const HostState& state) {
  if (outcome.err == ENOENT || !state.proc) {
    return {"/proc is not mounted, and the ids are mapped through it",
            "mount /proc",
            {fmt::format("{}mount -t proc proc /proc", sudo(state))}};
  }
  return by_policy(outcome, state);
}

Diagnosis why_proc_mount(const Outcome& outcome, const HostState& state) {
  if (outcome.err == EPERM && !state.proc_covers.empty()) return by_covers(state);
  if (outcome.err == EPERM && !state.proc) {
    return {"/proc is not mounted here, and a user namespace gets no fresh one then",
            "mount /proc",
            {fmt::format("{}mount -t proc proc /proc", sudo(state))}};
  }
  return by_policy(outcome, state);
}

Diagnosis why_capability(const Outcome& outcome, const HostState& state) {
  if (outcome.detail.starts_with("/proc/") && !state.proc_covers.empty()) return by_covers(state);
  if (outcome.call == "pivot_root" && outcome.err == EINVAL) {
    return {"the root file system is an initramfs, which cannot be pivoted away",
            "start dirbox from a root that is mounted over it (switch_root), or in a container",
            {}};
  }
  return by_policy(outcome, state);
}

Diagnosis why_overlay(const Outcome& outcome, const HostState& state) {
  if (outcome.err == ENODEV) {
    return {"the overlay file system is not in the kernel",
            "load its module",
            {fmt::format("{}modprobe overlay", sudo(state)),
             fmt::format("echo overlay | {}tee /etc/modules-load.d/overlay.conf >/dev/null",
                         sudo(state))}};
  }
  if (state.major != 0 && state.older_than(5, 11)) {
    return {fmt::format("Linux {} has no overlay in a user namespace, which came with 5.11",
                        state.release),
            "use a kernel of 5.14 or later",
            {}};
  }
  return by_policy(outcome, state);
}

Diagnosis why_landlock(const Outcome& outcome, const HostState& state) {
  const bool missing_call = outcome.err == ENOSYS && !(state.major != 0 && state.older_than(5, 13));
  if (missing_call && state.seccomp == 2) return by_filter(state, outcome.call);
  Diagnosis d;
  constexpr std::string_view kInstead =
      ", or accept its absence with [require] landlock = \"optional\" in the profile";
  if (outcome.err == EOPNOTSUPP) {
    d.cause = fmt::format("Landlock is built in and not in force; lsm= has \"{}\"", state.modules);
    const std::string list = state.modules.empty() ? "landlock,lockdown,yama,integrity,apparmor"
                                                   : "landlock," + state.modules;
    d.fix = fmt::format("put lsm={} on the kernel's command line{}", list, kInstead);
    d.commands = {fmt::format("echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX lsm={}\"' | {}tee "
                              "/etc/default/grub.d/60-landlock.cfg >/dev/null",
                              list, sudo(state)),
                  sudo(state) + "update-grub", "# then restart the machine"};
    return d;
  }
  if (outcome.err == ENOSYS) {
    d = by_missing_call(outcome, state);
    d.fix += kInstead;
    return d;
  }
  return by_policy(outcome, state);
}

Diagnosis why_cgroup(const Outcome& outcome, const HostState& state) {
  if (outcome.err == EROFS) {
    return {"the cgroup file system is mounted read-only here",
            "in a container: --cgroupns=private with a writable /sys/fs/cgroup",
            {}};
  }
  if (outcome.err == 0) {
    return {outcome.detail + ": cgroup version 1 holds it, or it is not delegated",
            "let systemd delegate the controllers to users (with cgroup version 1: "
            "systemd.unified_cgroup_hierarchy=1 on the kernel's command line)",
            {sudo(state) + "mkdir -p /etc/systemd/system/user@.service.d",
             fmt::format("printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | {}tee "
                         "/etc/systemd/system/user@.service.d/delegate.conf >/dev/null",
                         sudo(state)),
             sudo(state) + "systemctl daemon-reload"}};
  }
  return {fmt::format("{} belongs to another user: no part of the tree is delegated to this one",
                      state.cgroup.empty() ? "the own cgroup" : state.cgroup),
          "start dirbox in a scope of its own, which the user's systemd delegates: systemd-run "
          "--user --scope -p Delegate=yes dirbox …",
          {}};
}

Diagnosis why_docker(const Outcome& outcome, const HostState& state) {
  if (outcome.err == EACCES) {
    // No command: it gives root, and a script of fixes must not do that in passing.
    return {fmt::format("{} is not for this user", outcome.detail),
            "if this user may be root on this machine, which that amounts to: usermod -aG docker, "
            "and log in again",
            {}};
  }
  return {fmt::format("nobody answers at {}", outcome.detail),
          "start the engine",
          {sudo(state) + "systemctl enable --now docker"}};
}

Diagnosis why_podman(const Outcome& outcome, const HostState&) {
  return {fmt::format("nobody answers at {}", outcome.detail),
          "start its socket",
          {"systemctl --user enable --now podman.socket"}};
}

Diagnosis why_process_memory(const Outcome& outcome, const HostState& state) {
  const auto scope = state.sysctl("kernel.yama.ptrace_scope");
  if (scope.value_or(0) >= 2) {
    Diagnosis d = by_sysctl(state, "kernel.yama.ptrace_scope", "1",
                            fmt::format("kernel.yama.ptrace_scope is {}", *scope));
    // 3 holds until the machine is restarted: yama(5).
    if (*scope >= 3) d.fix += " and restart the machine";
    return d;
  }
  return by_policy(outcome, state);
}

Diagnosis why_kernel(const Outcome& outcome, const HostState& state) {
  if (state.wsl == 1)
    return {"WSL 1 has no Linux kernel",
            "convert the distribution to WSL 2",
            {"wsl.exe --set-version \"$WSL_DISTRO_NAME\" 2"}};
  return {outcome.detail, "use a kernel of 5.14 or later", {}};
}

}  // namespace

Diagnosis diagnose(Kind kind, const Outcome& outcome, const HostState& state) {
  if (outcome.signal == SIGSYS) return by_filter(state, outcome.call);
  if (outcome.err == ENOSYS && kind != Kind::landlock) return by_missing_call(outcome, state);
  switch (kind) {
    case Kind::user_namespace:
      return why_user_namespace(outcome, state);
    case Kind::id_map:
      return why_id_map(outcome, state);
    case Kind::other_namespace:
      return why_other_namespace(outcome, state);
    case Kind::proc_mount:
      return why_proc_mount(outcome, state);
    case Kind::capability:
      return why_capability(outcome, state);
    case Kind::overlay:
      return why_overlay(outcome, state);
    case Kind::landlock:
      return why_landlock(outcome, state);
    case Kind::process_memory:
      return why_process_memory(outcome, state);
    case Kind::proc:
      return {"/proc is not mounted, or is no procfs",
              "mount /proc",
              {fmt::format("{}mount -t proc proc /proc", sudo(state))}};
    case Kind::kernel:
      return why_kernel(outcome, state);
    case Kind::cgroup:
      return why_cgroup(outcome, state);
    case Kind::docker:
      return why_docker(outcome, state);
    case Kind::podman:
      return why_podman(outcome, state);
    case Kind::tmux:
      return {"the program does not run", "install it anew", {}};
    case Kind::resolver:
      return {fmt::format("no answer from {}", outcome.detail),
              "check the connection, and the servers in /etc/resolv.conf",
              {}};
    case Kind::seccomp:
    case Kind::plain:
      return by_policy(outcome, state);
  }
  return {};
}

}  // namespace dirbox::doctor
