#pragma once
#include "launcher/doctor/host_state.h"
#include "launcher/doctor/outcome.h"

/// What the checks try. Each runs in a child process of its own, in the namespaces that its row
/// names, and does the thing itself with the calls that the launcher uses.
namespace dirbox::doctor {

// probe_kernel.cpp: on the host, then what hardens a process.
Outcome probe_kernel(const HostState& state);
Outcome probe_proc(const HostState& state);
Outcome probe_nothing(const HostState& state);  ///< the namespaces alone
Outcome probe_userns_limit(const HostState& state);
Outcome probe_descriptors(const HostState& state);
Outcome probe_capabilities(const HostState& state);
Outcome probe_keyring(const HostState& state);
Outcome probe_landlock(const HostState& state);
Outcome probe_seccomp(const HostState& state);
Outcome probe_notification(const HostState& state);
Outcome probe_process_memory(const HostState& state);

// probe_mounts.cpp: in new user, mount and pid namespaces.
Outcome probe_tmpfs(const HostState& state);
Outcome probe_open_tree(const HostState& state);
Outcome probe_mount_setattr(const HostState& state);
Outcome probe_move_mount(const HostState& state);
Outcome probe_openat2(const HostState& state);
Outcome probe_proc_mount(const HostState& state);
Outcome probe_pty(const HostState& state);
Outcome probe_pivot_root(const HostState& state);
Outcome probe_overlay(const HostState& state);

// probe_network.cpp: the first three in a new network namespace.
Outcome probe_loopback(const HostState& state);
Outcome probe_route(const HostState& state);
Outcome probe_listen(const HostState& state);
Outcome probe_resolver(const HostState& state);

// probe_host.cpp
Outcome probe_hostname(const HostState& state);
Outcome probe_cgroup(const HostState& state);
Outcome probe_run_directory(const HostState& state);
Outcome probe_docker(const HostState& state);
Outcome probe_podman(const HostState& state);
Outcome probe_tmux(const HostState& state);
Outcome tell_apparmor(const HostState& state);
Outcome tell_selinux(const HostState& state);
Outcome tell_yama(const HostState& state);
Outcome tell_sysctls(const HostState& state);
Outcome tell_surroundings(const HostState& state);

// probe_sandbox.cpp: a whole sandbox, as the launcher makes it, with this program inside.
Outcome probe_sandbox(const HostState& state);

}  // namespace dirbox::doctor
