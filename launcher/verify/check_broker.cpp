#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/broker/shim_image.h"
#include "launcher/broker/wire.h"
#include "launcher/plan/excluded.h"
#include "launcher/verify/context.h"

/// Excluded commands. Where the profile has none, nothing is to be tested.
namespace dirbox::verify {
namespace {

using broker::Mode;
using plan::Excluded;

bool has_none(Context& context) {
  if (!context.plan().excluded.empty()) return false;
  context.add("excluded commands", Verdict::absent, "the profile has none");
  return true;
}

/// Both ends of the protocol: who may speak, and what.
void check_peers(Context& context) {
  if (has_none(context)) return;
  namespace wire = broker::wire;
  for (const Excluded& excluded : context.plan().excluded) {
    const std::string& command = excluded.policy.command;
    const std::string path = broker::socket_path_of(command);
    struct Attempt {
      const char* subject;
      std::uint32_t magic;
      std::uint16_t version;
      std::uint16_t type;
    };
    constexpr auto kExec = static_cast<std::uint16_t>(wire::Type::exec);
    constexpr Attempt kAttempts[] = {
        {"a message that is none", 0x58585858, wire::kVersion, kExec},
        {"another version", wire::kMagic, 99, kExec},
        {"an unknown message", wire::kMagic, wire::kVersion, 999},
        {"a request without a body", wire::kMagic, wire::kVersion, kExec},
        {"a signal before a request", wire::kMagic, wire::kVersion,
         static_cast<std::uint16_t>(wire::Type::signal)}};
    for (const Attempt& attempt : kAttempts) {
      const Outcome got = context.inside(
          "broker-packet", {path, std::to_string(attempt.magic), std::to_string(attempt.version),
                            std::to_string(attempt.type)});
      context.judge_refused(command + ": " + attempt.subject, got, {Outcome::Kind::done, 0, {}},
                            {EACCES, ECONNRESET});
    }
    // By the way that /proc has into the sandbox, for a process of the same user outside it. The
    // control is the same from inside, with arguments that end in a version or in a refusal.
    const std::string subject = command + ": a process outside the sandbox";
    const std::string way = context.path_into(path);
    const Words asked{path, command, "-V"};
    const Outcome inside = excluded.policy.mode == Mode::grammar
                               ? context.inside("broker", asked)
                               : Outcome{Outcome::Kind::done, 0, {}};
    const Outcome got =
        way.empty() ? refused(ENOENT) : context.outside("broker", {way, command, "-V"});
    if (got.refused_with({ENOENT, EACCES}) && got.detail.empty()) {
      context.add(subject, Verdict::absent, "it cannot come to the socket");
    } else {
      context.judge_refused(subject, got, inside, {EACCES, ECONNRESET});
    }
  }
}

/// Arguments that the tmux grammar must refuse: each would run `canary` on the host, or read or
/// write outside the sandbox.
std::vector<Words> tmux_attacks(const std::string& canary) {
  const std::string touch = "touch " + canary;
  return {
      {"run-shell", touch},
      {"run", touch},
      {"if-shell", "true", "run-shell '" + touch + "'"},
      {"if-shell", touch, ""},
      {"pipe-pane", touch},
      {"pipe-pane", "-t", ":", touch},
      {"set-option", "-g", "default-command", touch},
      {"set-hook", "-g", "session-created", "run-shell '" + touch + "'"},
      {"bind-key", "x", "run-shell", touch},
      {"source-file", canary},
      {"display-message", "-p", "#(" + touch + ")"},
      {"list-sessions", "-F", "#(" + touch + ")"},
      {"list-sessions", ";", "run-shell", touch},
      {"new-session", "-d", "-s", "x;", "run-shell", touch},
      {"-f", canary, "list-sessions"},
      {"-S", canary, "list-sessions"},
      {"-L", "other", "new-session", "-d", touch},
      {"-c", touch},
      {"respawn-pane", "-k", touch},
      {"split-window", touch},
      {"display-popup", touch},
      {"command-prompt", "run-shell '" + touch + "'"},
      {"save-buffer", canary},
      {"load-buffer", "/etc/passwd"},
      {"attach-session"},
      {"kill-server"},
      {"set-environment", "-g", "LD_PRELOAD", canary},
      {"show-environment", "-g"},
  };
}

std::string shown(const std::string& command, const Words& words) {
  std::string text = command;
  for (const std::string& word : words) text += " " + shell_quote(word);
  return text;
}

/// By the shim, as a program inside would. Refused is what the broker says so of; an error of the
/// program itself is not. False when it ran: then nothing worse is tried.
bool try_command(Context& context, const Excluded& excluded, const Words& arguments,
                 const Outcome& control) {
  const std::string& command = excluded.policy.command;
  const std::string canary = context.canaries().run_path();
  Words words{command};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const Outcome got = context.inside("run", words);
  const std::string subject = shown(command, arguments);
  if (::access(canary.c_str(), F_OK) == 0) {
    ::unlink(canary.c_str());
    context.add(subject, Verdict::fail, "it ran on the host", excluded.policy.origin);
    return false;
  }
  if (got.kind == Outcome::Kind::refused && got.detail.find("refused: ") == std::string::npos) {
    context.add(subject, Verdict::fail, "not refused by the broker: " + got.text(),
                excluded.policy.origin);
    return false;
  }
  context.judge_refused(subject, got, control, {EACCES}, excluded.policy.origin);
  return !got.done();
}

void check_grammar(Context& context) {
  bool any = false;
  for (const Excluded& excluded : context.plan().excluded) {
    if (excluded.policy.mode != Mode::grammar) continue;
    any = true;
    if (!excluded.refused.empty()) {
      context.must_refuse(excluded.policy.command + " -V", "run", {excluded.policy.command, "-V"},
                          {EACCES}, excluded.policy.origin);
      continue;
    }
    const Outcome control = context.inside("run", {excluded.policy.command, "-V"});
    context.add(excluded.policy.command + " -V",
                control.done()                           ? Verdict::pass
                : control.kind == Outcome::Kind::not_run ? Verdict::not_run
                                                         : Verdict::fail,
                control.text(), excluded.policy.origin);
    for (const Words& arguments : tmux_attacks(context.canaries().run_path())) {
      if (!try_command(context, excluded, arguments, control)) break;
    }
  }
  if (!any) context.add("tmux", Verdict::absent, "no command has a grammar here");
}

/// Arguments that a rule of deny covers, made from its text.
Words example_of(const broker::Rule& rule) {
  auto fill = [](std::string pattern) {
    if (pattern.starts_with('<')) return std::string("x");
    std::replace(pattern.begin(), pattern.end(), '*', 'x');
    return pattern;
  };
  Words words;
  auto add_flags = [&](bool global) {
    for (const broker::FlagPattern& flag : rule.flags) {
      if (flag.global != global) continue;
      const bool letter = flag.name.size() == 1;
      std::string word = (letter ? "-" : "--") + flag.name;
      if (flag.value) word += (letter ? "" : "=") + fill(*flag.value);
      words.push_back(word);
    }
  };
  add_flags(true);
  if (rule.subcommand && !rule.subcommand->empty()) words.push_back(*rule.subcommand);
  add_flags(false);
  for (const std::string& operand : rule.operands) words.push_back(fill(operand));
  return words;
}

/// Commands of the host: their rules are asked by the shim with what they must refuse.
void check_rules(Context& context) {
  bool any = false;
  for (const Excluded& excluded : context.plan().excluded) {
    const broker::Policy& policy = excluded.policy;
    if (policy.mode != Mode::host) continue;
    any = true;
    if (policy.allow.empty() && policy.deny.empty()) {
      context.add(policy.command, Verdict::waived, "it runs on the host with any arguments",
                  policy.origin);
      continue;
    }
    std::vector<Words> attacks{{"--dirbox-verify-" + context.canaries().token}};
    for (const broker::Rule& rule : policy.deny) attacks.push_back(example_of(rule));
    for (const Words& attack : attacks) {
      // What the rules permit after all would run on the host.
      if (plan::decide_excluded(excluded, attack).allowed) {
        context.add(shown(policy.command, attack), Verdict::absent, "the rules permit it",
                    policy.origin);
      } else if (!try_command(context, excluded, attack, {Outcome::Kind::done, 0, {}})) {
        break;
      }
    }
  }
  if (!any) context.add("commands of the host", Verdict::absent, "the profile has none");
}

constexpr Row kRows[] = {
    {"broker.peers", "the broker hears only the sandbox, and only requests", "broker", check_peers},
    {"broker.grammar", "tmux does what its grammar has and nothing else", "broker", check_grammar},
    {"broker.rules", "commands of the host refuse what no rule permits", "broker", check_rules},
};

}  // namespace

std::span<const Row> broker_rows() { return kRows; }

}  // namespace dirbox::verify
