#include "launcher/supervise/job.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "launcher/base/file.h"

namespace dirbox::supervise {

bool stop_job(int signal, bool group) {
  sigset_t set, previous, pending;
  sigemptyset(&set);
  sigaddset(&set, signal);
  struct sigaction standard {};
  struct sigaction inherited {};
  standard.sa_handler = SIG_DFL;
  if (::sigprocmask(SIG_BLOCK, &set, &previous) != 0 ||
      ::sigaction(signal, &standard, &inherited) != 0 ||
      ::kill(group ? 0 : ::getpid(), signal) != 0) {
    return false;
  }
  // Here the process stops. A stop signal discards a SIGCONT that was pending (signal(7)), so one
  // that is pending afterwards has ended this very stop.
  bool opened = ::sigprocmask(SIG_UNBLOCK, &set, nullptr) == 0;
  bool restored = ::sigprocmask(SIG_SETMASK, &previous, nullptr) == 0 &&
                  ::sigaction(signal, &inherited, nullptr) == 0;
  return opened && restored && ::sigpending(&pending) == 0 && sigismember(&pending, SIGCONT) == 1;
}

bool check_group_leader(pid_t host_group, pid_t inside) {
  if (host_group <= 0) return false;
  std::string path = fmt::format("/proc/{}/status", host_group);
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return false;
  auto text = read_fd(file.get(), 1 << 16, path);
  if (!text) return false;
  std::size_t start = text->find("\nNSpid:");
  if (start == std::string::npos) return false;
  std::string line = text->substr(start + 1, text->find('\n', start + 1) - start - 1);
  std::size_t last = line.rfind('\t');
  return last != std::string::npos && line.substr(last + 1) == std::to_string(inside);
}

}  // namespace dirbox::supervise
