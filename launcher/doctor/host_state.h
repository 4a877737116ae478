#pragma once
#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace dirbox::doctor {

/// What explains a refusal: settings, policies and surroundings of this process. Whatever cannot be
/// read is left out; a machine without /proc has next to nothing.
struct HostState {
  std::string self;  ///< path of this program; empty when nothing tells
  std::string release;
  std::map<std::string, long> sysctls;  ///< "user.max_user_namespaces" and the like
  std::string label;      ///< the security label of this process: AppArmor's or SELinux's
  std::string modules;    ///< the security modules in force: "lockdown,capability,landlock"
  std::string root_type;  ///< file system of /: "ext4"
  std::string cgroup;     ///< own cgroup's directory (version 2)
  std::string container;  ///< "docker", "podman", …; empty: none that is known
  std::vector<std::string> proc_covers;  ///< mounts below /proc that hide some of it

  uid_t euid = 0;
  int major = 0, minor = 0;  ///< of the release
  int seccomp = 0;           ///< 2: a filter is on this process
  int wsl = 0;               ///< 1 or 2

  bool self_replaceable = false;  ///< by this user, who is not root
  bool proc = false;              ///< /proc is a procfs
  bool apparmor = false;          ///< enabled in the kernel
  bool selinux = false, selinux_enforcing = false;
  bool nested = false;    ///< in a user namespace that is not the machine's first
  bool unmapped = false;  ///< the own uid has no name in it
  bool chrooted = false;
  bool inside = false;  ///< in a sandbox of dirbox

  bool older_than(int wanted_major, int wanted_minor) const {
    return major < wanted_major || (major == wanted_major && minor < wanted_minor);
  }
  std::optional<long> sysctl(const std::string& name) const {
    auto found = sysctls.find(name);
    return found == sysctls.end() ? std::nullopt : std::optional(found->second);
  }
};

/// Reads it below `root`, which is "" but in tests; the kernel's name and the uid are this
/// process's.
HostState read_host_state(const std::string& root = {});

}  // namespace dirbox::doctor
