#pragma once
#include "launcher/plan/plan.h"
#include "launcher/plan/resolver.h"
#include "profiles/profile.h"

/// What is in every sandbox, whatever the profile grants.
namespace dirbox::plan {

/// Private /tmp, /var/tmp, /run, /dev/shm, and the home of mode "private", each with its size cap.
Result<void> add_private_directories(const profiles::Profile& profile, const HostFacts& facts,
                                     Resolver& resolver, Plan& plan);
/// passwd and group of one user, hosts, resolv.conf, nsswitch.conf, hostname, mtab.
void add_etc(const HostFacts& facts, Plan& plan);
/// A minimal /dev, its own devpts, and the profile's devices.
Result<void> add_devices(const profiles::Profile& profile, const HostFacts& facts,
                         Resolver& resolver, Plan& plan);
/// A fresh /proc with what concerns the host masked or read-only.
void add_proc(const HostFacts& facts, Plan& plan);

}  // namespace dirbox::plan
