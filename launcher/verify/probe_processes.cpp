#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <csignal>
#include <memory>

#include "launcher/base/file.h"
#include "launcher/base/unique_fd.h"
#include "launcher/verify/probe.h"

namespace dirbox::verify {
namespace {

std::string short_text(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return {};
  auto text = read_fd(fd.get(), 64 << 10, path);
  return text ? *text : std::string();
}

/// FIELD: the value of a line of /proc/self/status.
Outcome verb_status(const Words& words) {
  std::string text = "\n" + short_text("/proc/self/status");
  std::size_t start = text.find("\n" + word_at(words, 0) + ":");
  if (start == std::string::npos) return refused(ENOENT);
  start = text.find_first_not_of(" \t", text.find(':', start) + 1);
  return succeeded(text.substr(start, text.find('\n', start) - start));
}

/// Every process of /proc that is not init, the runner or the probe: "PID NAME" in a line each.
/// [starter] [writer]: init's helpers, for dirbox attach and where the guard enforces, are
/// expected.
Outcome verb_processes(const Words& words) {
  constexpr pid_t kLastHelper = 3;  // only init came before the two
  struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
  };
  std::unique_ptr<DIR, CloseDirectory> proc(::opendir("/proc"));
  if (!proc) return refused(errno);
  std::string found;
  while (const dirent* entry = ::readdir(proc.get())) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    pid_t pid = static_cast<pid_t>(std::stol(entry->d_name));
    if (pid == 1 || pid == ::getpid() || pid == ::getppid()) continue;
    const std::string name = short_text("/proc/" + std::to_string(pid) + "/comm");
    const bool helper = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
      return pid <= kLastHelper && name == "dirbox-" + word + "\n";
    });
    if (helper) continue;
    found += std::to_string(pid) + " " + name;
  }
  return found.empty() ? refused(ENOENT) : succeeded(std::move(found));
}

/// The control groups of this process, a line each, but for the root of what it sees.
Outcome verb_control_groups(const Words&) {
  std::string found;
  const std::string text = short_text("/proc/self/cgroup");
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (!line.ends_with(":/")) found += std::string(line) + "\n";
  }
  if (text.empty()) return {Outcome::Kind::not_run, 0, "no /proc/self/cgroup"};
  return found.empty() ? refused(ENOENT) : succeeded(std::move(found));
}

/// PID SIGNAL
Outcome verb_kill(const Words& words) {
  return from_call(::kill(static_cast<pid_t>(number(word_at(words, 0))),
                          static_cast<int>(number(word_at(words, 1)))));
}

/// The session that this process belongs to: 0 when its leader is in an outer pid namespace.
Outcome verb_session(const Words&) { return from_call(::getsid(0)); }

/// COMMAND: runs it with `sh -c`; refused with its exit status as detail.
Outcome verb_shell(const Words& words) {
  std::string command = word_at(words, 0);
  char shell[] = "sh", option[] = "-c";
  char* argv[] = {shell, option, command.data(), nullptr};
  posix_spawn_file_actions_t actions;
  if (::posix_spawn_file_actions_init(&actions) != 0) return refused(ENOMEM);
  int err = 0;
  for (int fd = 0; fd < 3 && err == 0; ++fd) {
    err = ::posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  }
  pid_t pid = -1;
  if (err == 0) err = ::posix_spawnp(&pid, "sh", &actions, nullptr, argv, environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (err != 0) return {Outcome::Kind::not_run, err, "sh: " + errno_name(err)};
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return code == 0 ? succeeded() : refused(0, "exit status " + std::to_string(code));
}

/// FLAGS VERB WORD…: another verb after unshare(2).
Outcome verb_unshared(const Words& words) {
  if (::unshare(static_cast<int>(number(word_at(words, 0)))) != 0) return refused(errno);
  return words.size() < 2 ? succeeded()
                          : run_probe(words[1], Words(words.begin() + 2, words.end()));
}

constexpr Verb kVerbs[] = {
    {"status", verb_status},
    {"processes", verb_processes},
    {"control-groups", verb_control_groups},
    {"kill", verb_kill},
    {"session", verb_session},
    {"shell", verb_shell},
    {"unshared", verb_unshared},
};

}  // namespace

std::span<const Verb> process_verbs() { return kVerbs; }

}  // namespace dirbox::verify
