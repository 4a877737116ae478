#include "launcher/supervise/spawn_self.h"

#include <spawn.h>
#include <sys/wait.h>

#include <csignal>
#include <string>

namespace dirbox::supervise {

Result<pid_t> spawn_self(const char* verb, int control) {
  constexpr int kControl = 3;
  constexpr const char* kSelf = "/proc/self/exe";
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (::posix_spawn_file_actions_init(&actions) != 0 || ::posix_spawnattr_init(&attributes) != 0) {
    return fail_errno("start", verb, ENOMEM);
  }
  sigset_t none;
  sigemptyset(&none);
  int err = ::posix_spawn_file_actions_adddup2(&actions, control, kControl);
  if (err == 0)
    err = ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  if (err == 0) err = ::posix_spawnattr_setsigmask(&attributes, &none);
  if (err == 0) err = ::posix_spawnattr_setpgroup(&attributes, 0);
  pid_t pid = -1;
  std::string name = "dirbox", word = verb;
  char* argv[] = {name.data(), word.data(), nullptr};
  char* environment[] = {nullptr};
  if (err == 0) err = ::posix_spawn(&pid, kSelf, &actions, &attributes, argv, environment);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (err != 0) return fail_errno("start", verb, err);
  return pid;
}

void kill_and_reap(pid_t pid) {
  if (pid <= 0) return;
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace dirbox::supervise
