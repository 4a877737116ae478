#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/doctor/probes.h"
#include "launcher/sandbox/namespaces.h"
#include "launcher/session/run_directory.h"

namespace dirbox::doctor {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// Whether a container engine answers at the unix socket `path`.
Outcome ping(const std::string& path) {
  constexpr std::string_view kRequest = "GET /_ping HTTP/1.0\r\n\r\n";
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (path.size() >= sizeof at.sun_path) return refused("connect", path, ENAMETOOLONG);
  std::memcpy(at.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return refused("socket", path);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
    return errno == ENOENT ? missing(path + " does not exist") : refused("connect", path);
  const timeval patience{2, 0};
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
    return refused("setsockopt", path);
  if (::send(socket.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0)
    return refused("send", path);
  std::array<char, 64> reply;
  const ssize_t got = ::recv(socket.get(), reply.data(), reply.size(), 0);
  if (got < 0) return refused("recv", path);
  const std::string_view head(reply.data(), static_cast<std::size_t>(got));
  if (head.find(" 200 ") == head.npos) return refused("recv", path, EPROTO);
  return passed(path);
}

std::string find_program(const std::string& name) {
  std::string path = variable("PATH");
  if (path.empty()) path = "/usr/bin:/bin";
  while (!path.empty()) {
    const std::size_t colon = std::min(path.find(':'), path.size());
    std::string candidate = path_join(path.substr(0, colon), name);
    if (candidate.front() == '/' && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    path.erase(0, colon + 1);
  }
  return {};
}

/// Runs `path` with one argument, its output thrown away.
Outcome run_program(const std::string& path, const char* argument) {
  const pid_t child = ::fork();
  if (child < 0) return refused("fork");
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null >= 0; ++fd) ::dup2(null, fd);
    ::execl(path.c_str(), path.c_str(), argument, nullptr);
    ::_exit(127);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child) return refused("waitpid");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return refused("execve", path, ENOEXEC);
  return passed(path);
}

}  // namespace

Outcome probe_hostname(const HostState&) {
  if (auto done = sandbox::apply_hostname("dirbox"); !done)
    return refused("sethostname", done.error());
  return passed();
}

Outcome probe_cgroup(const HostState& state) {
  if (state.cgroup.empty()) return missing("no cgroup of version 2 is mounted");
  const std::string path = fmt::format("{}/dirbox-doctor-{}", state.cgroup, ::getpid());
  if (::mkdir(path.c_str(), 0755) != 0) return refused("mkdir", state.cgroup);
  auto controllers = read_file(path + "/cgroup.controllers");
  if (::rmdir(path.c_str()) != 0) return refused("rmdir", path);
  const std::string found = " " + controllers.value_or("") + " ";
  for (const char* wanted : {"memory", "pids"}) {
    if (found.find(fmt::format(" {}", wanted)) == found.npos)
      return {
          State::failed, 0, 0, {}, fmt::format("{} has no controller {}", state.cgroup, wanted)};
  }
  return passed(state.cgroup);
}

Outcome probe_run_directory(const HostState&) {
  auto made = session::RunDirectory::make(fmt::format("doctor-{}", ::getpid()));
  if (!made) return refused("mkdir", made.error());
  return passed(made->path());
}

Outcome probe_docker(const HostState&) {
  const std::string host = variable("DOCKER_HOST");
  constexpr std::string_view kUnix = "unix://";
  if (!host.empty() && !host.starts_with(kUnix)) return missing("DOCKER_HOST is no unix socket");
  return ping(host.empty() ? "/var/run/docker.sock" : host.substr(kUnix.size()));
}

Outcome probe_podman(const HostState& state) {
  const std::string runtime = variable("XDG_RUNTIME_DIR");
  if (state.euid == 0 || runtime.empty()) return ping("/run/podman/podman.sock");
  return ping(runtime + "/podman/podman.sock");
}

Outcome probe_tmux(const HostState&) {
  const std::string path = find_program("tmux");
  if (path.empty()) return missing("not in PATH");
  return run_program(path, "-V");
}

Outcome tell_apparmor(const HostState& state) {
  if (!state.apparmor) return noted("not enabled");
  const bool restricts =
      state.sysctl("kernel.apparmor_restrict_unprivileged_userns").value_or(0) != 0;
  return noted(fmt::format("enabled; this process: {}; {}",
                           state.label.empty() ? "unknown" : state.label,
                           restricts ? "user namespaces only for programs with a profile"
                                     : "user namespaces are not restricted"));
}

Outcome tell_selinux(const HostState& state) {
  if (!state.selinux) return noted("not enabled");
  return noted(fmt::format("{}; this process: {}",
                           state.selinux_enforcing ? "enforcing" : "permissive",
                           state.label.empty() ? "unknown" : state.label));
}

Outcome tell_yama(const HostState& state) {
  const auto scope = state.sysctl("kernel.yama.ptrace_scope");
  return noted(scope ? fmt::format("kernel.yama.ptrace_scope = {}", *scope) : "not enabled");
}

Outcome tell_sysctls(const HostState& state) {
  std::string text;
  for (const char* name : {"user.max_user_namespaces", "kernel.unprivileged_userns_clone"}) {
    const auto value = state.sysctl(name);
    if (!value) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} = {}", name, *value);
  }
  return noted(text.empty() ? "none can be read" : text);
}

Outcome tell_surroundings(const HostState& state) {
  std::string text;
  auto add = [&text](std::string_view more) {
    if (!text.empty()) text += ", ";
    text += more;
  };
  if (state.wsl != 0) add(fmt::format("WSL {}", state.wsl));
  if (!state.container.empty()) add(fmt::format("a container ({})", state.container));
  if (state.inside) add("a sandbox of dirbox");
  if (state.nested) add("a user namespace");
  if (state.chrooted) add("a chroot");
  if (state.seccomp == 2) add("a seccomp filter");
  return noted(text.empty() ? "none that shows" : text);
}

}  // namespace dirbox::doctor
