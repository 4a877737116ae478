#include "launcher/doctor/host_state.h"

#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "launcher/base/file.h"
#include "launcher/base/path.h"

namespace dirbox::doctor {
namespace {

constexpr const char* kSysctls[] = {
    "user.max_user_namespaces",
    "user.max_mnt_namespaces",
    "user.max_pid_namespaces",
    "user.max_net_namespaces",
    "user.max_ipc_namespaces",
    "user.max_uts_namespaces",
    "user.max_cgroup_namespaces",
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.apparmor_restrict_unprivileged_unconfined",
    "kernel.yama.ptrace_scope",
};

bool exists(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0;
}

/// The text without the newline at its end; "" when it cannot be read.
std::string slurp(const std::string& path) {
  auto text = read_file(path);
  if (!text) return {};
  while (!text->empty() && (text->back() == '\n' || text->back() == '\0')) text->pop_back();
  return *text;
}

std::optional<long> parse_long(const std::string& text) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  return text.empty() || *end != '\0' ? std::nullopt : std::optional(value);
}

void read_sysctls(const std::string& root, HostState& state) {
  for (const char* name : kSysctls) {
    std::string path = name;
    for (char& c : path) {
      if (c == '.') c = '/';
    }
    if (auto value = parse_long(slurp(root + "/proc/sys/" + path))) state.sysctls[name] = *value;
  }
}

void read_modules(const std::string& root, HostState& state) {
  state.modules = slurp(root + "/sys/kernel/security/lsm");
  state.apparmor = slurp(root + "/sys/module/apparmor/parameters/enabled") == "Y";
  const std::string enforce = slurp(root + "/sys/fs/selinux/enforce");
  state.selinux = !enforce.empty();
  state.selinux_enforcing = enforce == "1";
  state.label = slurp(root + "/proc/self/attr/apparmor/current");
  if (state.label.empty()) state.label = slurp(root + "/proc/self/attr/current");
}

void read_status(const std::string& root, HostState& state) {
  std::istringstream lines(slurp(root + "/proc/self/status"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("Seccomp:")) state.seccomp = std::atoi(line.c_str() + 8);
  }
  std::istringstream map(slurp(root + "/proc/self/uid_map"));
  unsigned long inside = 0, outside = 0, count = 0;
  bool mapped = false, any = false;
  while (map >> inside >> outside >> count) {
    any = true;
    if (count != UINT_MAX) state.nested = true;
    mapped |= state.euid >= inside && state.euid - inside < count;
  }
  if (!any && state.proc) state.nested = true;
  state.unmapped = state.proc && !mapped;
}

/// proc(5), /proc/PID/mountinfo: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw".
void read_mounts(const std::string& root, HostState& state) {
  const std::string text = slurp(root + "/proc/self/mountinfo");
  std::istringstream lines(text);
  std::string cgroup_mount;
  bool has_root = false;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, point, type;
    for (int i = 0; i < 5 && words >> word; ++i) point = word;
    while (words >> word && word != "-") {
    }
    words >> type;
    if (point == "/") {
      has_root = true;
      state.root_type = type;
    }
    if (point.starts_with("/proc/") && type != "binfmt_misc" && type != "autofs")
      state.proc_covers.push_back(point);
    if (type == "cgroup2" && cgroup_mount.empty()) cgroup_mount = point;
  }
  state.chrooted = !text.empty() && !has_root;
  std::istringstream groups(slurp(root + "/proc/self/cgroup"));
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::/") && !cgroup_mount.empty())
      state.cgroup = path_normalize(cgroup_mount + line.substr(3));
  }
}

void read_surroundings(const std::string& root, HostState& state) {
  const std::string version = state.release;
  if (version.find("microsoft") != version.npos) state.wsl = 2;
  if (version.find("Microsoft") != version.npos) state.wsl = 1;
  state.inside = exists(root + "/run/dirbox/policy.json");
  const char* named = std::getenv("container");  // systemd's convention, followed by podman and lxc
  if (exists(root + "/.dockerenv")) {
    state.container = "docker";
  } else if (exists(root + "/run/.containerenv")) {
    state.container = "podman";
  } else if (root.empty() && named != nullptr && *named != '\0') {
    state.container = named;
  } else if (root.empty() && std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) {
    state.container = "kubernetes";
  }
}

std::string find_self() {
  char buffer[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", buffer, sizeof buffer);
  if (length > 0) return std::string(buffer, static_cast<std::size_t>(length));
  const auto* name = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  if (name != nullptr && ::realpath(name, buffer) != nullptr) return buffer;
  return {};
}

}  // namespace

HostState read_host_state(const std::string& root) {
  HostState state;
  state.euid = ::geteuid();
  state.self = find_self();
  state.self_replaceable = state.euid != 0 && !state.self.empty() &&
                           (::access(state.self.c_str(), W_OK) == 0 ||
                            ::access(path_parent(state.self).c_str(), W_OK) == 0);
  utsname names{};
  if (::uname(&names) == 0) state.release = names.release;
  const std::string given = slurp(root + "/proc/sys/kernel/osrelease");
  if (!given.empty()) state.release = given;
  if (std::sscanf(state.release.c_str(), "%d.%d", &state.major, &state.minor) != 2)
    state.major = state.minor = 0;
  state.proc = exists(root + "/proc/self/status");
  read_sysctls(root, state);
  read_modules(root, state);
  read_status(root, state);
  read_mounts(root, state);
  read_surroundings(root, state);
  return state;
}

}  // namespace dirbox::doctor
