#include "launcher/doctor/isolate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <sstream>

#include "launcher/base/file.h"
#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/namespaces.h"

namespace dirbox::doctor {
namespace {

constexpr std::chrono::seconds kPatience{5};

std::string encode(const Outcome& outcome) {
  return fmt::format("{} {}\n{}\n{}", static_cast<int>(outcome.state), outcome.err, outcome.call,
                     outcome.detail);
}

Outcome decode(const std::string& text) {
  std::istringstream lines(text);
  Outcome outcome;
  int state = 0;
  lines >> state >> outcome.err;
  outcome.state = static_cast<State>(state);
  lines.ignore();
  std::getline(lines, outcome.call);
  std::getline(lines, outcome.detail, '\0');
  return outcome;
}

struct Identity {
  uid_t uid;
  gid_t gid;
};

Outcome try_it(std::uint64_t namespaces, Identity identity, bool mapped,
               const std::function<Outcome()>& probe) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return refused("prctl", "PR_SET_PDEATHSIG");
  if ((namespaces & CLONE_NEWUSER) != 0 && mapped) {
    if (auto done = sandbox::apply_id_map(identity.uid, identity.gid); !done)
      return refused(done.error().doing, done.error());
  }
  return probe();
}

/// Everything that the child says, until it ends or patience does. False for the latter.
bool read_answer(int fd, std::string& text) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  std::array<char, 4096> buffer;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd source{fd, POLLIN, 0};
    if (left.count() <= 0) return false;
    if (::poll(&source, 1, static_cast<int>(left.count())) <= 0) continue;
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

pid_t clone_child(std::uint64_t namespaces) {
  if (namespaces == 0) return ::fork();
  clone_args args{};
  args.flags = namespaces;
  args.exit_signal = SIGCHLD;
  return static_cast<pid_t>(::syscall(SYS_clone3, &args, sizeof args));
}

Outcome run_isolated(std::uint64_t namespaces, const std::function<Outcome()>& probe, bool mapped) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return refused("pipe2");
  UniqueFd reader(ends[0]), writer(ends[1]);
  const Identity identity{::geteuid(), ::getegid()};
  const pid_t child = clone_child(namespaces);
  if (child < 0) return refused(namespaces == 0 ? "fork" : "clone3");
  if (child == 0) {
    reader.reset();
    const std::string text = encode(try_it(namespaces, identity, mapped, probe));
    ::_exit(write_all(writer.get(), text, "") ? 0 : 1);
  }
  writer.reset();
  std::string text;
  const bool answered = read_answer(reader.get(), text);
  if (!answered) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return refused("waitpid");
  }
  if (!answered) return {State::failed, ETIMEDOUT, 0, {}, "no answer"};
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return {State::failed, 0, signal, {}, fmt::format("killed by {}", ::strsignal(signal))};
  }
  if (text.empty()) return {State::failed, 0, 0, {}, "it ended without a word"};
  return decode(text);
}

}  // namespace dirbox::doctor
