#include "launcher/doctor/checks.h"

#include <sched.h>

#include "launcher/doctor/probes.h"

namespace dirbox::doctor {
namespace {

constexpr std::uint64_t kUser = CLONE_NEWUSER;
constexpr std::uint64_t kTree = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID;
constexpr std::uint64_t kNet = CLONE_NEWUSER | CLONE_NEWNET;
constexpr std::uint64_t kUts = CLONE_NEWUSER | CLONE_NEWUTS;

// clang-format off
constexpr Check kChecks[] = {
    {"kernel", "kernel", Need::required, "the mount calls, Landlock", 0, "", probe_kernel, Kind::kernel},
    {"proc", "kernel", Need::required, "id maps, descriptors", 0, "", probe_proc, Kind::proc},
    {"calls", "kernel", Need::required, "pidfds, sealed memory, signals as descriptors", 0, "", probe_descriptors, Kind::plain},

    {"userns", "namespaces", Need::required, "everything: the sandbox is made without root", kUser, "", probe_nothing, Kind::user_namespace},
    {"uid-map", "namespaces", Need::required, "the caller's uid and gid inside", kUser, "userns", probe_nothing, Kind::id_map},
    {"mnt-ns", "namespaces", Need::required, "a file tree of its own", kUser | CLONE_NEWNS, "uid-map", probe_nothing, Kind::other_namespace},
    {"pid-ns", "namespaces", Need::required, "no process of the host is seen or signalled", kUser | CLONE_NEWPID, "uid-map", probe_nothing, Kind::other_namespace},
    {"net-ns", "namespaces", Need::required, "no network but what rules allow", kNet, "uid-map", probe_nothing, Kind::other_namespace},
    {"ipc-ns", "namespaces", Need::required, "System V objects and message queues of its own", kUser | CLONE_NEWIPC, "uid-map", probe_nothing, Kind::other_namespace},
    {"uts-ns", "namespaces", Need::required, "a host name of its own", kUts, "uid-map", probe_hostname, Kind::other_namespace},
    {"cgroup-ns", "namespaces", Need::required, "the host's cgroups are not named inside", kUser | CLONE_NEWCGROUP, "uid-map", probe_nothing, Kind::other_namespace},
    {"userns-limit", "namespaces", Need::required, "no further user namespaces inside", kUser, "uid-map", probe_userns_limit, Kind::capability},

    {"openat2", "mounts", Need::required, "paths that cannot be swapped while they are opened", 0, "", probe_openat2, Kind::plain},
    {"tmpfs", "mounts", Need::required, "the root, /tmp and the private home", kTree, "uid-map", probe_tmpfs, Kind::capability},
    {"open-tree", "mounts", Need::required, "what is granted, cloned", kTree, "uid-map", probe_open_tree, Kind::capability},
    {"mount-setattr", "mounts", Need::required, "read-only, nosuid and nodev for whole trees", kTree, "open-tree", probe_mount_setattr, Kind::capability},
    {"move-mount", "mounts", Need::required, "what is granted, in its place", kTree, "tmpfs", probe_move_mount, Kind::capability},
    {"proc-mount", "mounts", Need::required, "a /proc with the sandbox's processes only", kTree, "uid-map", probe_proc_mount, Kind::proc_mount},
    {"pivot-root", "mounts", Need::required, "leaving the host's file tree", kTree, "tmpfs", probe_pivot_root, Kind::capability},
    {"overlay", "mounts", Need::feature, "copy-on-write paths", kTree, "tmpfs", probe_overlay, Kind::overlay},
    {"pty", "mounts", Need::required, "a terminal of its own", kTree, "uid-map", probe_pty, Kind::capability},

    {"loopback", "network", Need::required, "127.0.0.1 inside", kNet, "net-ns", probe_loopback, Kind::capability},
    {"route", "network", Need::required, "addresses for the names that rules allow", kNet, "net-ns", probe_route, Kind::capability},
    {"listen", "network", Need::required, "the name server and the proxy inside", kNet, "route", probe_listen, Kind::capability},
    {"resolver", "network", Need::feature, "names of hosts that rules allow", 0, "", probe_resolver, Kind::resolver},

    {"capabilities", "hardening", Need::required, "no capability inside, for good", kUser, "uid-map", probe_capabilities, Kind::capability},
    {"keyring", "hardening", Need::required, "none of the caller's keys inside", kUser, "uid-map", probe_keyring, Kind::plain},
    {"landlock", "hardening", Need::waivable, "a second layer behind the mounts", 0, "", probe_landlock, Kind::landlock},
    {"seccomp", "hardening", Need::required, "a small part of the kernel inside", 0, "", probe_seccomp, Kind::seccomp},
    {"seccomp-notify", "hardening", Need::feature, "refused calls in the log, by name", 0, "seccomp", probe_notification, Kind::seccomp},
    {"memory-read", "hardening", Need::feature, "paths of refused calls in the log", 0, "userns", probe_process_memory, Kind::process_memory},

    {"run-directory", "host", Need::feature, "dirbox ps and grant", 0, "", probe_run_directory, Kind::plain},
    {"cgroup", "host", Need::feature, "limits of memory and processes for a sandbox as a whole", 0, "", probe_cgroup, Kind::cgroup},
    {"docker", "host", Need::feature, "docker as an excluded command", 0, "", probe_docker, Kind::docker},
    {"podman", "host", Need::feature, "podman as an excluded command", 0, "", probe_podman, Kind::podman},
    {"tmux", "host", Need::feature, "tmux as an excluded command", 0, "", probe_tmux, Kind::tmux},

    {"apparmor", "policy", Need::telling, "may forbid user namespaces", 0, "", tell_apparmor, Kind::plain},
    {"selinux", "policy", Need::telling, "may forbid user namespaces", 0, "", tell_selinux, Kind::plain},
    {"yama", "policy", Need::telling, "may forbid reading another process", 0, "", tell_yama, Kind::plain},
    {"sysctls", "policy", Need::telling, "may forbid user namespaces", 0, "", tell_sysctls, Kind::plain},
    {"surroundings", "policy", Need::telling, "a container, WSL or a filter around dirbox", 0, "", tell_surroundings, Kind::plain},

    {"sandbox", "all", Need::required, "all of it together, with a program inside", 0, "uid-map", probe_sandbox, Kind::capability},
};
// clang-format on

}  // namespace

std::span<const Check> checks() { return kChecks; }

}  // namespace dirbox::doctor
