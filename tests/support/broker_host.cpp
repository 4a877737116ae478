#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>

#include "launcher/base/event_loop.h"
#include "launcher/base/file.h"
#include "launcher/base/json.h"
#include "launcher/base/path.h"
#include "launcher/broker/environment.h"
#include "launcher/broker/server.h"
#include "launcher/broker/shim_image.h"

/// Runs the broker for one command and nothing else of the launcher:
///
///     broker_host --dir DIR [--userns] [--log FILE] [--root DIR]... [--writable DIR]...
///                 [--command NAME=PATH]... [--allow NAME=RULE]... [--deny NAME=RULE]...
///                 [--env NAME=VARIABLE]... [--max NAME=N] [--timeout NAME=S]
///                 [--commands N] [--burst N] [--rate N] [--terminals N] -- COMMAND...
///
/// Shims are written to DIR/bin, sockets to DIR/sock. --root names directories that COMMAND shares
/// with the host. --userns puts COMMAND in user, mount and pid namespaces with a devpts and a /proc
/// of its own; otherwise it runs in those of this process. Exits as COMMAND does.
namespace {

using namespace dirbox;
using namespace dirbox::broker;

[[noreturn]] void die(const Error& error) {
  std::fprintf(stderr, "broker_host: %s\n", error.message().c_str());
  ::_exit(125);
}
template <class T>
T must(Result<T> result) {
  if (!result) die(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
void must_be(bool ok, const char* what) {
  if (!ok) die(fail_errno(what, "").value());
}

struct Options {
  std::string dir, log;
  bool userns = false;
  std::vector<std::string> roots, writable;
  std::map<std::string, std::string> binaries;
  std::map<std::string, Policy> policies;
  Limits limits;
  char** command = nullptr;
};

Options parse(int argc, char** argv) {
  Options out;
  for (int i = 1; i < argc; ++i) {
    std::string key = argv[i];
    if (key == "--userns") {
      out.userns = true;
      continue;
    }
    if (key == "--") {
      out.command = argv + i + 1;
      break;
    }
    must_be(i + 1 < argc, "read an option's value");
    std::string value = argv[++i];
    std::string name = value.substr(0, value.find('='));
    std::string rest = name.size() < value.size() ? value.substr(name.size() + 1) : "";
    Origin origin{"test.toml", static_cast<std::uint32_t>(i), 0};
    if (key == "--dir") out.dir = value;
    if (key == "--log") out.log = value;
    if (key == "--root") out.roots.push_back(value);
    if (key == "--writable") out.writable.push_back(value);
    if (key == "--commands") out.limits.max_commands = static_cast<unsigned>(std::stoi(value));
    if (key == "--terminals") out.limits.max_terminals = static_cast<unsigned>(std::stoi(value));
    if (key == "--burst") out.limits.request_burst = std::stod(value);
    if (key == "--rate") out.limits.requests_per_second = std::stod(value);
    if (rest.empty()) continue;
    Policy& policy = out.policies[name];
    policy.command = name;
    if (key == "--command") out.binaries[name] = rest;
    if (key == "--allow") {
      policy.allow.push_back(must(parse_rule(name, RuleKind::allow, rest, origin)));
    }
    if (key == "--deny") {
      policy.deny.push_back(must(parse_rule(name, RuleKind::deny, rest, origin, "not this one")));
    }
    if (key == "--env") policy.env.push_back(rest);
    if (key == "--max") policy.max_concurrent = static_cast<unsigned>(std::stoi(rest));
    if (key == "--timeout") policy.timeout = std::chrono::seconds(std::stoi(rest));
  }
  return out;
}

void write_event(int fd, const Event& event) {
  constexpr const char* kKinds[] = {"refused", "failed", "started", "ended"};
  Json line;
  JsonArray arguments;
  for (const std::string& argument : event.arguments) arguments.emplace_back(argument);
  line.set("kind", kKinds[static_cast<int>(event.kind)]);
  line.set("command", event.command);
  line.set("arguments", std::move(arguments));
  line.set("cwd", event.cwd);
  line.set("caller", static_cast<int>(event.caller));
  line.set("pid", static_cast<int>(event.pid));
  line.set("rule", event.decision.rule);
  line.set("reason", event.decision.reason);
  line.set("status", event.status);
  must(write_all(fd, line.dump() + "\n", "log"));
}

void write_map(const char* path, unsigned id) {
  must(write_all(UniqueFd(::open(path, O_WRONLY | O_CLOEXEC)).get(),
                 std::to_string(id) + " " + std::to_string(id) + " 1", path));
}

void enter_namespaces() {
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
  must_be(::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) == 0, "unshare");
  must(write_all(UniqueFd(::open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC)).get(), "deny",
                 "setgroups"));
  write_map("/proc/self/uid_map", uid);
  write_map("/proc/self/gid_map", gid);
}

/// The first process of the pid namespace: mounts, runs the command, reaps.
[[noreturn]] void run_init(char** command) {
  must_be(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make / private");
  must_be(::mount("proc", "/proc", "proc", 0, nullptr) == 0, "mount proc");
  must_be(::mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666") == 0,
          "mount devpts");
  must_be(::mount("/dev/pts/ptmx", "/dev/ptmx", nullptr, MS_BIND, nullptr) == 0, "bind ptmx");
  pid_t main = ::fork();
  if (main == 0) {
    ::execvp(command[0], command);
    ::_exit(127);
  }
  for (;;) {
    int status = 0;
    pid_t pid = ::wait(&status);
    if (pid == main) ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }
}

[[noreturn]] void run_child(const Options& options, int go) {
  if (options.userns) enter_namespaces();
  char byte = 'r';
  must_be(::write(go, &byte, 1) == 1 && ::read(go, &byte, 1) == 1, "wait for the broker");
  ::close(go);
  if (!options.userns) {
    ::execvp(options.command[0], options.command);
    ::_exit(127);
  }
  pid_t init = ::fork();
  if (init == 0) run_init(options.command);
  int status = 0;
  while (::waitpid(init, &status, 0) < 0) {
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

void write_shim(const Options& options, const std::string& name, const std::string& socket) {
  std::string path = options.dir + "/bin/" + name;
  must(replace_file(path, must(make_shim_image(socket)), 0755));
}

std::vector<std::string> own_environment() {
  std::vector<std::string> out;
  for (char** e = environ; *e != nullptr; ++e) out.emplace_back(*e);
  return out;
}

void add_commands(const Options& options, Server& server) {
  const char* path = std::getenv("PATH");
  auto environment =
      compile_host_environment(own_environment(), safe_path(path ? path : "", options.writable));
  for (const auto& [name, binary] : options.binaries) {
    Command command;
    command.policy = options.policies.at(name);
    command.binary = must(pin_command(binary, path ? path : "", options.writable));
    command.binary.name = name;
    command.environment = environment;
    std::string socket = options.dir + "/sock/" + name + ".sock";
    write_shim(options, name, socket);
    must(server.add(must(make_listener(socket)), std::move(command)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options = parse(argc, argv);
  must_be(options.command != nullptr && !options.dir.empty(), "read the arguments");
  must(make_directories(options.dir + "/bin", 0755));
  must(make_directories(options.dir + "/sock", 0700));

  int go[2];
  must_be(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go) == 0, "socketpair");
  pid_t child = ::fork();
  must_be(child >= 0, "fork");
  if (child == 0) {
    ::close(go[0]);
    run_child(options, go[1]);
  }
  ::close(go[1]);
  char byte;
  must_be(::read(go[0], &byte, 1) == 1, "wait for the command");

  EventLoop loop = must(EventLoop::make());
  UniqueFd log;
  ServerConfig config;
  config.uid = ::geteuid();
  config.user_namespace = must(user_namespace_of(child));
  config.limits = options.limits;
  config.map_cwd = [&](std::string_view cwd) -> std::optional<std::string> {
    for (const std::string& root : options.roots) {
      if (cwd == path_normalize(cwd) && path_is_beneath(cwd, root)) return std::string(cwd);
    }
    return std::nullopt;
  };
  if (!options.log.empty()) {
    log.reset(::open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    config.on_event = [&log](const Event& event) { write_event(log.get(), event); };
  }
  Server server(loop, std::move(config));
  add_commands(options, server);

  sigset_t handled;
  ::sigemptyset(&handled);
  ::sigaddset(&handled, SIGCHLD);
  ::sigaddset(&handled, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  UniqueFd signals(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  must(loop.add(signals.get(), EPOLLIN, [&](std::uint32_t) {
    signalfd_siginfo info;
    while (::read(signals.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGTERM) ::kill(child, SIGKILL);
    }
    server.on_child_stopped();
  }));
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  must(loop.add(pidfd.get(), EPOLLIN, [&](std::uint32_t) { loop.stop(); }));
  must_be(::write(go[0], &byte, 1) == 1, "start the command");
  must(loop.run());

  int status = 0;
  must_be(::waitpid(child, &status, 0) == child, "wait");
  server.close();
  while (!server.idle()) must(loop.run_once(std::chrono::milliseconds(100)));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
