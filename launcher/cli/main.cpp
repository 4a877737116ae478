#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "launcher/base/text.h"
#include "launcher/broker/docker/process.h"
#include "launcher/broker/tmux/run.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "netns/proxy_process.h"

namespace dirbox::cli {
namespace {

constexpr Subcommand kSubcommands[] = {
    {"run", "run a command in the sandbox", run_command},
    {"shell", "an interactive shell in the sandbox", shell_command},
    {"bundle", "list the bundles of network rules", bundle_command},
    {"log", "what a session refused, and what would allow it", log_command},
    {"why", "whether something is permitted inside, by which rule, and what would", why_command},
    {"ps", "list the running sandboxes", ps_command},
    {"attach", "run a further command in a running sandbox", attach_command},
    {"grant", "let a running sandbox reach a host", grant_command},
    {"revoke", "refuse a host to a running sandbox", revoke_command},
    {"profile", "list, show, check, write and compare profiles", profile_command},
    {"project", "which profile a directory gets", project_command},
    {"guard", "what was quarantined, and how to get it back", guard_command},
    {"import", "settings of other programs as a profile", import_command},
    {"trust", "let a project file widen what it gets", trust_command},
    {"completion", "completion for bash, zsh or fish", completion_command},
    {"verify", "attack the sandbox and tell which promises hold", verify_command},
    {"doctor", "tell whether this machine can enforce every layer", doctor_command},
    {"learn", "run a command and write a profile with what it lacked", learn_command},
};

std::string help_of(std::string_view parent, std::span<const Subcommand> verbs) {
  std::string text = parent.empty() ? "usage: dirbox run [OPTION…] -- COMMAND [ARG…]\n"
                                      "       dirbox -- COMMAND [ARG…]\n"
                                      "       dirbox SUBCOMMAND [OPTION…]\n\n"
                                    : fmt::format("usage: dirbox {} VERB [OPTION…]\n\n", parent);
  Table table;
  for (const Subcommand& verb : verbs) table.add({verb.name, verb.summary});
  const std::string path = parent.empty() ? "SUBCOMMAND" : std::string(parent) + " VERB";
  return text + table.render(2) + fmt::format("\n`dirbox help {}` tells its options.\n", path);
}

const Subcommand* find_verb(std::span<const Subcommand> verbs, std::string_view word) {
  for (const Subcommand& verb : verbs) {
    if (word == verb.name) return &verb;
  }
  return nullptr;
}

std::string nearest_verb(std::span<const Subcommand> verbs, std::string_view word) {
  std::vector<std::string_view> names;
  for (const Subcommand& verb : verbs) names.push_back(verb.name);
  return did_you_mean(word, names);
}

/// `dirbox -p offline -- make`: the line with the subcommand that it lacks.
int complain_option(std::string_view word, const Arguments& all) {
  fmt::print(stderr, "dirbox: unknown option: {}\n", escape_for_terminal(word));
  if (!all.has_command) return kFailed;
  std::string line = "dirbox run";
  for (const std::string& part : all.own) line += " " + shell_quote(part);
  line += " --";
  for (const std::string& part : all.command) line += " " + shell_quote(part);
  fmt::print(stderr, "hint: options stand behind a subcommand: {}\n", escape_for_terminal(line));
  return kFailed;
}

int complain_unknown(std::string_view word, const Arguments& all) {
  if (word.starts_with("-")) return complain_option(word, all);
  fmt::print(stderr, "dirbox: unknown subcommand: {}{}\n", escape_for_terminal(word),
             nearest_verb(kSubcommands, word));
  std::string line;
  for (const std::string& part : all.own) line += " " + shell_quote(part);
  fmt::print(stderr, "hint: to run a command: dirbox --{}\n", escape_for_terminal(line));
  return kFailed;
}

Arguments split(int argc, char** argv, int first) {
  Arguments arguments;
  arguments.raw = argv;
  arguments.raw_count = argc;
  int i = first;
  for (; i < argc && std::strcmp(argv[i], "--") != 0; ++i) arguments.own.emplace_back(argv[i]);
  if (i < argc) {
    arguments.has_command = true;
    for (++i; i < argc; ++i) arguments.command.emplace_back(argv[i]);
  }
  return arguments;
}

/// `help run`, `help profile show`: the subcommand with --help.
int help(const Arguments& arguments) {
  if (arguments.own.empty()) {
    fmt::print("{}", help_of("", kSubcommands));
    return 0;
  }
  const Subcommand* subcommand = find_verb(kSubcommands, arguments.own.front());
  if (subcommand == nullptr) {
    fmt::print(stderr, "dirbox: unknown subcommand: {}{}\n",
               escape_for_terminal(arguments.own.front()),
               nearest_verb(kSubcommands, arguments.own.front()));
    return kFailed;
  }
  Arguments asked;
  asked.own.assign(arguments.own.begin() + 1, arguments.own.end());
  asked.own.emplace_back("--help");
  return subcommand->run(asked);
}

/// "run --profile", a line for each name of each option: a test looks for them in the manuals.
int list_options() {
  describe_all([](const Syntax& syntax) {
    for (const Option& option : syntax.options) {
      for (std::string_view name : names_of(option)) {
        fmt::print("{} {}\n", command_of(syntax), name);
      }
    }
  });
  return 0;
}

/// Where the caller closed one of 0-2, the next file to be opened would be that one: what is
/// printed would go into it, and the command inherit it. Into a closed output nothing can be
/// written, as the file that is opened for it says.
bool fill_standard_descriptors() {
  pollfd standard[] = {{0, 0, 0}, {1, 0, 0}, {2, 0, 0}};
  if (::poll(standard, 3, 0) < 0) return false;
  for (const pollfd& entry : standard) {
    const bool closed = (entry.revents & POLLNVAL) != 0;
    if (closed && ::open("/dev/null", entry.fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) != entry.fd)
      return false;
  }
  return true;
}

int dispatch(int argc, char** argv) {
  if (!fill_standard_descriptors()) return kFailed;
  if (argc < 2) {
    fmt::print(stderr, "{}", help_of("", kSubcommands));
    return kFailed;
  }
  std::string_view word = argv[1];
  if (word == "--") return run_command(split(argc, argv, 1));
  if (word == "--help" || word == "-h" || word == "help") return help(split(argc, argv, 2));
  if (word == "--version") {
    fmt::print("dirbox {}\n", DIRBOX_VERSION);
    return 0;
  }
  if (word == "__options") return list_options();
  // Started by the broker for the sandbox; the rest is trusted up to the caller's arguments.
  if (word == "__tmux")
    return broker::tmux::run_helper(std::vector<std::string>(argv + 2, argv + argc));
  if (word == "__probe") return probe_command(split(argc, argv, 2));
  // Started by the supervisor, which passes descriptor 3.
  if (word == "__proxy") return netns::run_proxy(3);
  if (word == "__docker") return docker::run_filter(3);
  const Subcommand* subcommand = find_verb(kSubcommands, word);
  if (subcommand == nullptr) return complain_unknown(word, split(argc, argv, 1));
  return subcommand->run(split(argc, argv, 2));
}

}  // namespace

std::span<const Subcommand> subcommands() { return kSubcommands; }

int run_verb(std::string_view parent, std::span<const Subcommand> verbs,
             const Arguments& arguments) {
  if (arguments.describe != nullptr) {
    for (const Subcommand& verb : verbs) verb.run(arguments);
    return 0;
  }
  if (arguments.own.empty()) {
    fmt::print(stderr, "dirbox: {}: no verb\n{}", parent, help_of(parent, verbs));
    return kFailed;
  }
  const std::string& word = arguments.own.front();
  if (word == "--help" || word == "-h") {
    fmt::print("{}", help_of(parent, verbs));
    return 0;
  }
  const Subcommand* verb = find_verb(verbs, word);
  if (verb == nullptr) {
    fmt::print(stderr, "dirbox: {}: unknown verb: {}{}\n", parent, escape_for_terminal(word),
               nearest_verb(verbs, word));
    return kFailed;
  }
  Arguments rest = arguments;
  rest.own.erase(rest.own.begin());
  return verb->run(rest);
}

void describe_all(const SyntaxVisitor& visitor) {
  Arguments arguments;
  arguments.describe = &visitor;
  for (const Subcommand& subcommand : kSubcommands) subcommand.run(arguments);
}

int report(const Error& error) {
  // Not all that makes errors escapes what it quotes, of files that nobody trusted.
  fmt::print(stderr, "dirbox: {}\n", escape_sentence(error.message()));
  if (!error.hint.empty()) fmt::print(stderr, "hint: {}\n", escape_sentence(error.hint));
  return kFailed;
}

namespace {

/// Not by report(), which throws where stderr is the one that takes nothing.
int report_output(int err) {
  const std::string text = Error{"write", "standard output", err, {}, {}}.message();
  std::fputs(fmt::format("dirbox: {}\n", text).c_str(), stderr);
  return kFailed;
}

/// What was printed and cannot be written, on a full disk or to a reader that went, is a failure.
int dispatch_and_flush(int argc, char** argv) {
  try {
    const int status = dispatch(argc, argv);
    return std::fflush(stdout) == 0 ? status : report_output(errno);
  } catch (const std::system_error& error) {  // of fmt::print
    return report_output(error.code().value());
  }
}

}  // namespace
}  // namespace dirbox::cli

int main(int argc, char** argv) { return dirbox::cli::dispatch_and_flush(argc, argv); }
