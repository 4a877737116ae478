#include "launcher/supervise/job.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <initializer_list>

namespace dirbox::supervise {
namespace {

/// Runs `body` in a child that leads a process group, with SIGCONT blocked as the supervisor has
/// it.
template <typename Body>
pid_t in_child(Body body) {
  pid_t pid = ::fork();
  if (pid != 0) return pid;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCONT);
  if (::setpgid(0, 0) != 0 || ::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) ::_exit(100);
  ::_exit(body());
}

TEST_CASE("a job stops with the signal that was asked for, also when it ignores that") {
  for (int signal : {SIGTSTP, SIGTTIN, SIGTTOU}) {
    pid_t child = in_child([=] {
      ::signal(signal, SIG_IGN);
      bool stopped = stop_job(signal, true);
      return stopped && ::signal(signal, SIG_DFL) == SIG_IGN ? 0 : 1;
    });
    int status = 0;
    REQUIRE(::waitpid(child, &status, WUNTRACED) == child);
    REQUIRE(WIFSTOPPED(status));
    CHECK(WSTOPSIG(status) == signal);
    REQUIRE(::kill(child, SIGCONT) == 0);
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
}

TEST_CASE("an orphaned job does not stop, and is told") {
  pid_t child = in_child([] {
    // A session of its own: nobody in it is outside the group.
    pid_t inner = ::fork();
    if (inner == 0) ::_exit(::setsid() > 0 && !stop_job(SIGTSTP, false) ? 0 : 1);
    int status = 1;
    return ::waitpid(inner, &status, WUNTRACED) == inner && status == 0 ? 0 : 1;
  });
  int status = 1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("the leader of a group is known by its pid inside") {
  CHECK(check_group_leader(::getpid(), ::getpid()));
  CHECK_FALSE(check_group_leader(::getpid(), ::getpid() + 1));
  CHECK_FALSE(check_group_leader(0, 1));
  CHECK_FALSE(check_group_leader(-1, 1));
  CHECK_FALSE(check_group_leader(1 << 30, 1));
}

}  // namespace
}  // namespace dirbox::supervise
