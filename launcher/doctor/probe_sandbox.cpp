#include <fcntl.h>
#include <fmt/format.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdlib>

#include "launcher/doctor/probes.h"
#include "launcher/sandbox/control.h"
#include "launcher/sandbox/landlock.h"
#include "launcher/sandbox/spawn.h"

namespace dirbox::doctor {
namespace {

using sandbox::ControlType;
using sandbox::Mount;
using sandbox::MountKind;

constexpr const char* kInside = "/dirbox";
/// Where programs and their libraries are; what a machine lacks is left out.
constexpr const char* kSystem[] = {"/usr",   "/bin",    "/lib",       "/lib32",
                                   "/lib64", "/libx32", "/nix/store", "/gnu/store"};

std::optional<Mount> bind_at(const std::string& path, const std::string& target) {
  char real[PATH_MAX];
  struct stat st {};
  if (::realpath(path.c_str(), real) == nullptr || ::stat(real, &st) != 0) return std::nullopt;
  Mount mount;
  mount.target = target;
  mount.source = real;
  mount.id = {st.st_dev, st.st_ino};
  mount.is_directory = S_ISDIR(st.st_mode);
  return mount;
}

Mount make_mount(MountKind kind, const char* target) {
  Mount mount;
  mount.kind = kind;
  mount.target = target;
  mount.size = 1 << 20;
  return mount;
}

std::optional<sandbox::Spec> make_spec(const HostState& state) {
  sandbox::Spec spec;
  spec.uid = ::geteuid();
  spec.gid = ::getegid();
  spec.hostname = "dirbox";
  for (const char* path : kSystem) {
    if (auto mount = bind_at(path, path)) spec.mounts.push_back(*mount);
  }
  auto self = bind_at(state.self, kInside);
  if (!self) return std::nullopt;
  spec.mounts.push_back(*self);
  spec.mounts.push_back(make_mount(MountKind::proc, "/proc"));
  spec.mounts.push_back(make_mount(MountKind::tmpfs, "/tmp"));
  spec.mounts.push_back(make_mount(MountKind::directory, "/dev"));
  spec.mounts.push_back(make_mount(MountKind::devpts, "/dev/pts"));
  spec.landlock = sandbox::check_landlock_abi().has_value();
  spec.landlock_rules = {{"/", sandbox::Access::read}};
  spec.cwd = "/";
  spec.executable = kInside;
  spec.argv = {"dirbox", "--version"};
  return spec;
}

/// The set-up's own words on what it could not do.
Outcome from_failure(const sandbox::Control& message) {
  const Error error = sandbox::decode_error(message.a, message.text);
  return {State::failed, error.err, 0, error.doing, error.operand + error.detail};
}

Outcome follow(const sandbox::Sandbox& sandbox) {
  for (;;) {
    auto received = sandbox::receive_control(sandbox.control.get());
    if (!received) return refused("recvmsg", received.error());
    if (received->closed) return {State::failed, 0, 0, {}, "it ended without a word"};
    const sandbox::Control& message = received->control;
    if (message.type == ControlType::failed) return from_failure(message);
    if (message.type == ControlType::exec_failed)
      return refused("execve", "this program, inside", message.a);
    if (message.type != ControlType::exited) continue;
    if (WIFEXITED(message.a) && WEXITSTATUS(message.a) == 0) return passed("dirbox ran inside");
    return {State::failed, 0, 0, "execve", fmt::format("status {:#x}", message.a)};
  }
}

}  // namespace

Outcome probe_sandbox(const HostState& state) {
  // Nothing of the program inside shall be seen.
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return refused("open", "/dev/null");
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(null, fd) < 0) return refused("dup2");
  }
  auto spec = make_spec(state);
  if (!spec) return refused("stat", "this program's own file", ENOENT);
  sandbox::RunOptions options;
  sigemptyset(&options.caller_mask);
  options.filter = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  auto made = sandbox::spawn_sandbox(*spec, options);
  if (!made) return refused("clone3", "", made.error().err);
  // Init that failed says so itself.
  if (auto started = sandbox::let_command_start(*made); !started) {
    if (started.error().err != EPIPE) return refused("sendmsg", "", started.error().err);
  }
  Outcome outcome = follow(*made);
  made->control.reset();
  if (::waitpid(made->pid, nullptr, 0) < 0) return refused("waitpid");
  return outcome;
}

}  // namespace dirbox::doctor
