#include "netns/confine.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "launcher/base/sanitized.h"
#include "launcher/base/unique_fd.h"

using namespace dirbox;
using namespace dirbox::netns;

namespace {

/// The errno of a call that has to fail; 0 when it did not.
int error_of(long rc) { return rc < 0 ? errno : 0; }

enum Finding {
  fine,
  no_entry,
  reads,
  writes,
  lists,
  executes,
  forks,
  unix_sockets,
  packets,
  kills
};

/// What a process that has given up everything can still do.
Finding look_around() {
  if (::unshare(CLONE_NEWUSER) != 0 || !drop_privileges() || !enter_landlock() || !enter_filter())
    return no_entry;
  if (error_of(::syscall(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY)) != EACCES)
    return reads;
  if (error_of(::syscall(SYS_openat, AT_FDCWD, "/etc/hosts", O_RDONLY)) != 0) return reads;
  if (error_of(::syscall(SYS_openat, AT_FDCWD, "/tmp/never", O_WRONLY | O_CREAT, 0600)) != EACCES)
    return writes;
  if (error_of(::syscall(SYS_openat, AT_FDCWD, "/etc/hosts", O_RDWR)) == 0) return writes;
  if (error_of(::syscall(SYS_openat, AT_FDCWD, "/usr/lib", O_RDONLY | O_DIRECTORY)) != EACCES)
    return lists;
  if (error_of(::syscall(SYS_execve, "/bin/true", nullptr, nullptr)) != EPERM) return executes;
  if (error_of(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)) != EPERM) return forks;
  if (error_of(::syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0)) != EPERM) return unix_sockets;
  if (error_of(::syscall(SYS_socket, AF_PACKET, SOCK_RAW, 0)) != EPERM) return packets;
  if (error_of(::syscall(SYS_kill, ::getppid(), 0)) != EPERM) return kills;
  return error_of(::syscall(SYS_socket, AF_INET, SOCK_STREAM, 0)) == 0 ? fine : no_entry;
}

}  // namespace

TEST_CASE("the confined proxy reads what resolves names, writes nothing, starts nothing") {
  if (kSanitized) return;  // its runtime needs calls of its own
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::syscall(SYS_exit_group, look_around());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == fine);
}
