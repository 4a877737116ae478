#include "launcher/sandbox/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "launcher/base/unique_fd.h"

namespace dirbox::sandbox {
namespace {

/// One write(2): the kernel takes these files whole or not at all.
Result<void> write_once(const char* path, const std::string& text, std::string_view hint) {
  UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return fail_errno("open", path, errno, hint);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return fail_errno("write", path, errno, hint);
  }
  return {};
}

}  // namespace

Result<void> apply_id_map(uid_t uid, gid_t gid) {
  constexpr std::string_view kHint =
      "an AppArmor or SELinux policy may forbid user namespaces to this program: run dirbox doctor";
  TRY_VOID(write_once("/proc/self/setgroups", "deny", kHint));
  TRY_VOID(write_once("/proc/self/uid_map", fmt::format("{0} {0} 1", uid), kHint));
  TRY_VOID(write_once("/proc/self/gid_map", fmt::format("{0} {0} 1", gid), kHint));
  return {};
}

Result<void> apply_userns_limit() {
  return write_once("/proc/sys/user/max_user_namespaces", "0", {});
}

Result<void> apply_hostname(const std::string& name) {
  if (::sethostname(name.data(), name.size()) != 0) return fail_errno("set the host name", name);
  return {};
}

Result<void> apply_loopback() {
  UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno("open a socket", "AF_INET");
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0)
    return fail_errno("bring up the interface", "lo");
  return {};
}

Result<void> apply_limits(const std::vector<Limit>& limits) {
  // Not 0: a handler that core_pattern names by a pipe runs for that as well, on the host and as
  // root (core(5)). The kernel takes 1 for "none at all". Whoever has a hard limit of 0 keeps it.
  rlimit none{};
  if (::getrlimit(RLIMIT_CORE, &none) != 0) return fail_errno("read a limit", "RLIMIT_CORE");
  none.rlim_cur = none.rlim_max = std::min<rlim_t>(none.rlim_max, 1);
  if (::setrlimit(RLIMIT_CORE, &none) != 0) return fail_errno("set a limit", "RLIMIT_CORE");
  for (const Limit& limit : limits) {
    rlimit value{limit.value, limit.value};
    if (::setrlimit(static_cast<__rlimit_resource_t>(limit.resource), &value) != 0) {
      return fail_errno(
          "set a limit", fmt::format("RLIMIT {} to {}", limit.resource, limit.value), errno,
          "a limit cannot be raised above the hard limit that dirbox was started with");
    }
  }
  return {};
}

}  // namespace dirbox::sandbox
