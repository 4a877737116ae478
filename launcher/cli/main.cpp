#include <fmt/format.h>

#include <cstdio>
#include <cstring>

#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "netns/proxy_process.h"

namespace dirbox::cli {
namespace {

constexpr Subcommand kSubcommands[] = {
    {"run", "run a command in the sandbox", run_command},
    {"shell", "an interactive shell in the sandbox", shell_command},
};

void print_help(std::FILE* to) {
  fmt::print(to,
             "usage: dirbox run [OPTION…] -- COMMAND [ARG…]\n"
             "       dirbox -- COMMAND [ARG…]\n"
             "       dirbox SUBCOMMAND --help\n\n");
  Table table;
  for (const Subcommand& subcommand : kSubcommands)
    table.add({subcommand.name, subcommand.summary});
  fmt::print(to, "{}", table.render(2));
}

int unknown(std::string_view word) {
  std::vector<std::string_view> names;
  for (const Subcommand& subcommand : kSubcommands) names.push_back(subcommand.name);
  fmt::print(stderr, "dirbox: unknown subcommand: {}{}\n", escape_for_terminal(word),
             did_you_mean(word, names));
  fmt::print(stderr, "hint: to run a command, write: dirbox -- {}\n", escape_for_terminal(word));
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

int dispatch(int argc, char** argv) {
  if (argc < 2) {
    print_help(stderr);
    return kFailed;
  }
  std::string_view word = argv[1];
  if (word == "--") return run_command(split(argc, argv, 1));
  if (word == "--help" || word == "-h" || word == "help") {
    print_help(stdout);
    return 0;
  }
  if (word == "--version") {
    fmt::print("dirbox {}\n", DIRBOX_VERSION);
    return 0;
  }
  if (word == kListOptions) {
    for (const Subcommand& subcommand : kSubcommands) subcommand.run({{kListOptions}, {}, false});
    return 0;
  }
  // Started by the supervisor, which passes descriptor 3.
  if (word == "__proxy") return netns::run_proxy(3);
  for (const Subcommand& subcommand : kSubcommands) {
    if (word == subcommand.name) return subcommand.run(split(argc, argv, 2));
  }
  return unknown(word);
}

}  // namespace

int report(const Error& error) {
  fmt::print(stderr, "dirbox: {}\n", error.message());
  if (!error.hint.empty()) fmt::print(stderr, "hint: {}\n", escape_for_terminal(error.hint));
  return kFailed;
}

}  // namespace dirbox::cli

int main(int argc, char** argv) { return dirbox::cli::dispatch(argc, argv); }
