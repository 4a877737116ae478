#include "launcher/supervise/broker.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/broker/environment.h"
#include "launcher/broker/shim_image.h"
#include "launcher/broker/tmux/grammar.h"
#include "launcher/broker/tmux/run.h"
#include "launcher/plan/excluded.h"
#include "launcher/plan/question.h"
#include "launcher/plan/swarm.h"

namespace dirbox::supervise {
namespace {

using sandbox::ControlType;

constexpr std::size_t kDescriptorsAtOnce = 8;  // what receive_control() takes

Result<void> make_socket_directory() {
  const std::string directory(broker::kSocketDirectory);
  for (const std::string& path : {path_parent(directory), directory}) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno("make a directory for the broker's sockets", path);
  }
  return {};
}

}  // namespace

Result<void> Broker::prepare(sandbox::RunOptions& options) {
  if (!wanted()) return {};
  std::vector<std::string> launcher;
  for (char** variable = environ; *variable != nullptr; ++variable)
    launcher.emplace_back(*variable);
  const auto environment = broker::compile_host_environment(launcher, plan_.host_path);
  for (const plan::Excluded& excluded : plan_.excluded) {
    broker::Command command;
    command.policy = excluded.policy;
    command.binary =
        TRY(broker::pin_command(excluded.program, plan_.host_path, plan_.writable_roots));
    const bool ruled = !excluded.policy.allow.empty() || !excluded.policy.deny.empty();
    command.environment = ruled ? broker::compile_ruled_environment(environment) : environment;
    if (!excluded.refused.empty()) {
      command.gate = [&excluded](std::span<const std::string> arguments, std::string_view) {
        return broker::Verdict{plan::decide_excluded(excluded, arguments), std::nullopt};
      };
    } else if (excluded.policy.mode == broker::Mode::grammar) {
      TRY_VOID(use_grammar(excluded, command));
    }
    command.gate = [this, policy = excluded.policy, next = std::move(command.gate)](
                       std::span<const std::string> arguments, std::string_view cwd) {
      used_ = true;
      before_();
      return next ? next(arguments, cwd)
                  : broker::Verdict{broker::decide(policy, arguments), std::nullopt};
    };
    commands_.push_back(std::move(command));
  }
  // Children are waited for, so SIGCHLD must not be ignored, as a caller may have it.
  if (::signal(SIGCHLD, SIG_DFL) == SIG_ERR) return fail_errno("watch for ended commands", "");
  options.broker.image = [](const std::string& name) {
    return broker::make_shim_image(broker::socket_path_of(name));
  };
  options.broker.listen = [this](int control) { return listen(control); };
  return {};
}

/// The command becomes this program, which asks tmux.
Result<void> Broker::use_grammar(const plan::Excluded& excluded, broker::Command& command) const {
  char self[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", self, sizeof self);
  if (n < 0 || n == sizeof self) return fail_errno("find this program", "/proc/self/exe");
  const std::string program(self, static_cast<std::size_t>(n));
  broker::tmux::Setting setting;
  setting.tmux = command.binary.file.path;
  setting.key = plan::project_key(plan_.project);
  setting.sessions = excluded.sessions;
  setting.directory = plan_.cwd;
  setting.launcher = {program, "run"};
  if (excluded.profile.empty()) {
    setting.launcher.insert(setting.launcher.end(), plan_.again.begin(), plan_.again.end());
  } else {
    setting.launcher.insert(setting.launcher.end(), {"-p", excluded.profile});
  }
  command.binary = TRY(broker::pin_command(program, plan_.host_path, plan_.writable_roots));
  command.gate = [&excluded, prefix = broker::tmux::encode_setting(setting)](
                     std::span<const std::string> arguments, std::string_view) {
    broker::Verdict verdict{plan::decide_excluded(excluded, arguments), std::nullopt};
    if (!verdict.decision.allowed) return verdict;
    verdict.arguments = prefix;
    verdict.arguments->insert(verdict.arguments->end(), arguments.begin(), arguments.end());
    return verdict;
  };
  return {};
}

/// In init: the sockets, in the order of the plan, behind the user namespace.
Result<void> Broker::listen(int control) const {
  TRY_VOID(make_socket_directory());
  std::vector<UniqueFd> made;
  made.emplace_back(::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
  if (!made.back().valid()) return fail_errno("open the user namespace", "/proc/self/ns/user");
  for (std::size_t i = 0; i < plan_.excluded.size(); ++i) {
    made.push_back(
        TRY(broker::make_listener(broker::socket_path_of(plan_.excluded[i].policy.command))));
    const bool last = i + 1 == plan_.excluded.size();
    if (!last && made.size() < kDescriptorsAtOnce) continue;
    std::vector<int> fds;
    fds.reserve(made.size());
    for (const UniqueFd& fd : made) fds.push_back(fd.get());
    TRY_VOID(sandbox::send_control(control, ControlType::sockets, last ? 0 : 1, {}, fds));
    made.clear();
  }
  return {};
}

Result<void> Broker::make_server(int user_namespace) {
  struct stat st {};
  if (::fstat(user_namespace, &st) != 0) return fail_errno("identify the user namespace", "");
  broker::ServerConfig config;
  config.uid = ::geteuid();
  config.user_namespace = {st.st_dev, st.st_ino};
  config.map_cwd = [this](std::string_view path) { return plan::map_to_host(plan_, path); };
  config.on_event = [this](const broker::Event& event) { report(event); };
  server_.emplace(loop_, std::move(config));
  return {};
}

Result<void> Broker::take(sandbox::Control& message) {
  std::size_t first = 0;
  if (!server_) {
    if (message.fds.empty()) return fail("serve excluded commands", "init", "sent no namespace");
    TRY_VOID(make_server(message.fds.front().get()));
    first = 1;
  }
  for (std::size_t i = first; i < message.fds.size(); ++i) {
    if (served_ == commands_.size())
      return fail("serve excluded commands", "init", "sent more sockets than there are commands");
    TRY_VOID(server_->add(std::move(message.fds[i]), std::move(commands_[served_++])));
  }
  return {};
}

void Broker::on_child_stopped() {
  if (server_) server_->on_child_stopped();
}

void Broker::finish() {
  if (!server_) return;
  server_->close();
  // Each ends within the server's grace time; its destructor kills what the loop could not wait
  // for.
  while (!server_->idle()) {
    if (!loop_.run_once(std::chrono::milliseconds(100))) break;
  }
  server_.reset();
}

void Broker::add_cure(const broker::Event& from, log::Event& event) const {
  for (const plan::Excluded& excluded : plan_.excluded) {
    if (excluded.policy.command != from.command) continue;
    // What is refused for another reason, such as a limit, no rule would permit.
    const broker::Decision decision = plan::decide_excluded(excluded, from.arguments);
    if (decision.allowed) return;
    plan::Answer answer;
    plan::add_excluded_cure(answer, excluded, decision, from.arguments);
    event.toml = answer.toml;
    event.never = answer.never;
  }
}

void Broker::report(const broker::Event& from) {
  using Kind = broker::Event::Kind;
  log::Event event;
  event.layer = log::Layer::broker;
  event.operation = log::Operation::exec;
  event.time_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(from.time.time_since_epoch()).count();
  event.pid = from.kind == Kind::refused || from.kind == Kind::failed ? from.caller : from.pid;
  std::vector<std::string> words{from.command};
  words.insert(words.end(), from.arguments.begin(), from.arguments.end());
  event.subject = join_words(words);
  event.rule = from.decision.rule;
  event.origin = from.decision.origin.text();
  event.detail = from.decision.reason;
  switch (from.kind) {
    case Kind::refused:
      event.kind = log::Kind::denied;
      event.cause = "excluded-rule";
      add_cure(from, event);
      break;
    case Kind::failed:
      event.kind = log::Kind::failed;
      event.cause = "not-executed";
      break;
    case Kind::started:
      event.kind = log::Kind::run;
      event.cause = "started";
      break;
    case Kind::ended:
      event.kind = log::Kind::run;
      event.cause = "ended";
      event.status =
          WIFSIGNALED(from.status) ? 128 + WTERMSIG(from.status) : WEXITSTATUS(from.status);
      break;
  }
  record_(std::move(event));
}

}  // namespace dirbox::supervise
