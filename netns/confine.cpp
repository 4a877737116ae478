#include "netns/confine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/unique_fd.h"
#include "netns/spec.h"

namespace dirbox::netns {
namespace {

Result<void> write_proc(const std::string& path, std::string_view text) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno("open", path);
  return write_all(fd.get(), text, path);
}

/// Identity map of this process's own ids, as anyone may write it (user_namespaces(7)).
Result<void> enter_own_user_namespace() {
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
  if (::unshare(CLONE_NEWUSER) != 0) {
    return fail_errno("enter a user namespace", "proxy", errno,
                      "see: dirbox doctor (user namespaces)");
  }
  TRY_VOID(write_proc("/proc/self/setgroups", "deny"));
  TRY_VOID(write_proc("/proc/self/uid_map", fmt::format("{0} {0} 1", uid)));
  return write_proc("/proc/self/gid_map", fmt::format("{0} {0} 1", gid));
}

/// All the descriptors that the hard limit gives: two per connection.
Result<void> raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("read RLIMIT_NOFILE", "");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("raise RLIMIT_NOFILE", "");
  return {};
}

/// Files and directories that getaddrinfo(3) reads. Those that do not exist are left out.
constexpr const char* kResolverPaths[] = {
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/lib",
    "/lib",
    "/lib64",
    "/usr/lib64",
    "/nix/store",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/usr/share/zoneinfo",
    "/var/run/NetworkManager",
};

Result<void> add_landlock_path(int ruleset, const char* path) {
  UniqueFd fd(::open(path, O_PATH | O_CLOEXEC));
  if (!fd.valid()) return {};  // absent or unreadable: then it is not needed
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("look at", path);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
  rule.parent_fd = fd.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    return fail_errno("allow reading", path);
  }
  return {};
}

/// Every file right of ABI 1 to 5; unknown ones are masked off for older kernels.
std::uint64_t handled_rights(long abi) {
  constexpr int kRightsOfAbi[] = {0, 13, 14, 15, 15, 16};
  int count = kRightsOfAbi[abi > 5 ? 5 : abi];
  return (std::uint64_t{1} << count) - 1;
}

}  // namespace

Result<void> apply_identity() {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail_errno("die with the parent", "");
  TRY_VOID(raise_descriptor_limit());
  TRY_VOID(enter_own_user_namespace());
  // After the maps are written: a process that is not dumpable owns none of its /proc files.
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return fail_errno("refuse ptrace and core dumps", "");
  // Entering a user namespace can clear the signal (prctl(2)).
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail_errno("die with the parent", "");
  return {};
}

Capacity read_capacity() {
  constexpr rlim_t kOthers = 512;  // first listeners, pipes, resolver, connections being refused
  constexpr rlim_t kLimit = 1 << 20;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= kOthers + 8) return {};
  rlim_t left = limit.rlim_cur - kOthers;
  rlim_t listeners = std::min(left / 4, rlim_t{Limits{}.max_listeners});
  return {static_cast<std::uint32_t>(std::min((left - listeners) / 2, kLimit)),
          static_cast<std::uint32_t>(listeners)};
}

Result<void> drop_privileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("set no_new_privs", "");
  for (int cap = 0; ::prctl(PR_CAPBSET_READ, cap) >= 0; ++cap) {
    if (::prctl(PR_CAPBSET_DROP, cap) != 0) return fail_errno("drop a capability", "bounding");
  }
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return fail_errno("drop a capability", "ambient");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capset, &header, data) != 0) return fail_errno("drop capabilities", "");
  if (::syscall(SYS_capget, &header, data) != 0) return fail_errno("read capabilities", "");
  for (const auto& half : data) {
    if ((half.effective | half.permitted | half.inheritable) != 0) {
      return fail("drop capabilities", "", "some are left");
    }
  }
  return {};
}

Result<void> enter_landlock() {
  long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) return fail_errno("use Landlock", "proxy");
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = handled_rights(abi);
  UniqueFd ruleset(static_cast<int>(
      ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0)));
  if (!ruleset.valid()) return fail_errno("make a Landlock ruleset", "proxy");
  for (const char* path : kResolverPaths) TRY_VOID(add_landlock_path(ruleset.get(), path));
  // A resolv.conf that is replaced by rename is another file. Root's /etc holds secrets, an
  // ordinary user's does not.
  if (::geteuid() != 0) TRY_VOID(add_landlock_path(ruleset.get(), "/etc"));
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    return fail_errno("enter Landlock", "proxy");
  }
  return {};
}

}  // namespace dirbox::netns
