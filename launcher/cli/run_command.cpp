#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <system_error>

#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/events.h"
#include "launcher/cli/run_options.h"
#include "launcher/log/event_log.h"
#include "launcher/supervise/supervisor.h"

namespace dirbox::cli {
namespace {

struct RunFlags {
  RunSettings settings;
  bool dry_run = false, json = false, verbose = false, quiet = false;
  std::string test_fail;
};

Syntax run_syntax(RunFlags& flags, const char* usage, const char* summary) {
  Syntax syntax{usage, summary, plan_options(flags.settings)};
  syntax.options.push_back({"--dry-run", "", "print the plan and run nothing", &flags.dry_run});
  syntax.options.push_back({"--json", "", "with --dry-run: as JSON", &flags.json});
  syntax.options.push_back(
      {"-v,--verbose", "", "say what was found and what was left out", &flags.verbose});
  syntax.options.push_back({"-q,--quiet", "", "do not list what was blocked", &flags.quiet});
#ifdef DIRBOX_TEST_BUILD
  syntax.options.push_back(
      {"--test-fail", "STEP", "make a set-up step fail (\"list\" names them)", &flags.test_fail});
#endif
  return syntax;
}

/// What the command chose itself, not without end.
std::string cut(std::string text) {
  constexpr std::size_t kMost = 500;
  if (text.size() <= kMost) return text;
  text.resize(kMost);
  return text + "...";
}

std::string guard_line(const guard::Finding& finding) {
  const std::string what = finding.key.empty() ? "" : finding.key + " = ";
  const std::string before = finding.before ? ", before: " + *finding.before : "";
  const char* verdict = !finding.kept.empty() ? "quarantined"
                        : finding.undone      ? "undone and not kept"
                                              : "dangerous change";
  return fmt::format("{}: {}: {} ({}{})", verdict, escape_for_terminal(finding.path),
                     escape_for_terminal(cut(what + finding.after)),
                     escape_for_terminal(finding.why), escape_for_terminal(cut(before)));
}

/// A line each, in the order in which they were first made. Not subject to --quiet: it is about the
/// user's own files.
void print_guarded(const std::vector<guard::Finding>& findings, const std::string& session) {
  constexpr std::size_t kMostLines = 100;
  bool kept = false;
  std::vector<std::string> lines;
  std::map<std::string, std::size_t> counts;
  for (const guard::Finding& finding : findings) {
    std::string line = guard_line(finding);
    if (++counts[line] == 1) lines.push_back(std::move(line));
    kept |= !finding.kept.empty();
  }
  for (std::size_t i = 0; i < std::min(lines.size(), kMostLines); ++i) {
    const std::size_t count = counts[lines[i]];
    fmt::print(stderr, "dirbox: {}{}\n", lines[i],
               count > 1 ? fmt::format(", {} times", count) : std::string());
  }
  if (lines.size() > kMostLines)
    fmt::print(stderr, "dirbox: guard: {} more\n", lines.size() - kMostLines);
  if (kept) fmt::print(stderr, "hint: dirbox guard show {0}; dirbox guard restore {0}\n", session);
}

/// What was refused, a line each, with what would allow it; and, when asked, what was used.
void print_outcome(const supervise::Outcome& outcome, const std::string& session,
                   const RunFlags& flags) {
  for (const std::string& complaint : outcome.complaints) {
    fmt::print(stderr, "dirbox: {}\n", escape_for_terminal(complaint));
  }
  if (flags.quiet) return;
  for (const std::string& change : outcome.changes) {
    fmt::print(stderr, "dirbox: rules: {}\n", escape_for_terminal(change));
  }
  std::vector<log::Event> events = outcome.events;
  std::erase_if(events, [](const log::Event& e) { return e.kind == log::Kind::guard; });
  const std::size_t more = print_summary(stderr, events, flags.verbose);
  if (more != 0)
    fmt::print(stderr, "dirbox: blocked: {} more; dirbox log {} --summary\n", more, session);
  if (outcome.dropped != 0)
    fmt::print(stderr, "dirbox: {} more events, too many to count one by one\n", outcome.dropped);
  if (!flags.verbose || outcome.counts.empty()) return;
  Table table;
  table.add({"name", "connections", "denied", "failed", "up", "down"});
  for (const netns::NameCount& count : outcome.counts) {
    table.add({escape_for_terminal(count.name), std::to_string(count.connections),
               std::to_string(count.denied), std::to_string(count.failed),
               std::to_string(count.uploaded), std::to_string(count.downloaded)});
  }
  fmt::print(stderr, "{}", table.render());
}

int run_plan(const plan::Plan& plan, const RunFlags& flags, const Arguments& arguments) {
  sandbox::RunOptions options;
  options.test_fail = flags.test_fail;
  find_title(arguments, options);
  if (auto done = supervise::prepare_filter(plan, cache_directory(), options); !done)
    return report(done.error());
  auto outcome = supervise::run_sandbox(plan, std::move(options), log::state_directory());
  if (!outcome) return report(outcome.error());
  try {
    if (outcome->failure) report(*outcome->failure);
    print_guarded(outcome->guarded, plan.session);
    print_outcome(*outcome, plan.session, flags);
  } catch (const std::system_error&) {  // of fmt::print: stderr takes nothing
    return outcome->status;             // which is the command's all the same
  }
  return outcome->status;
}

bool known_step(const std::string& name) {
  if (name.empty()) return true;
  const auto steps = supervise::list_steps();
  return std::any_of(steps.begin(), steps.end(), [&](const auto& s) { return s.first == name; });
}

int run(RunFlags& flags, const Arguments& arguments, const std::vector<std::string>& command) {
  if (flags.test_fail == "list") {
    Table table;
    for (const auto& [name, reason] : supervise::list_steps()) table.add({name, reason});
    fmt::print("{}", table.render());
    return 0;
  }
  if (!known_step(flags.test_fail)) {
    return report({"make a step fail", escape_for_terminal(flags.test_fail), 0, "no such step",
                   "--test-fail=list names them"});
  }
  if (flags.json && !flags.dry_run)
    return report({"run", "--json", 0, "it is for --dry-run", "add that, or leave this out"});
  // Not freed: this is the process's last work, and the plan is some thousand small objects.
  static Compiled* const kept =
      new Compiled(compile_settings(flags.settings, command, !flags.dry_run));
  Compiled& compiled = *kept;
  if (!compiled.ok) return compiled.status;
  if (flags.dry_run) {
    if (flags.json) {
      fmt::print("{}\n", plan::plan_to_json(compiled.plan).dump_for_terminal(true));
    } else {
      fmt::print("{}", plan::render_plan(compiled.plan, use_color(1)));
    }
    return 0;
  }
  print_notices(compiled.plan, flags.verbose);
  return run_plan(compiled.plan, flags, arguments);
}

}  // namespace

int run_command(const Arguments& arguments) {
  RunFlags flags;
  constexpr const char* kUsage = "dirbox run [OPTION…] -- COMMAND [ARG…]";
  Syntax syntax = run_syntax(flags, kUsage, "Runs COMMAND in the sandbox of a profile.");
  syntax.takes_command = true;
  int status = parse_options(syntax, arguments);
  if (status >= 0) return status;
  if (arguments.command.empty() && flags.test_fail != "list") {
    fmt::print(stderr, "dirbox: no command\nusage: {}\n", kUsage);
    return kFailed;
  }
  return run(flags, arguments, arguments.command);
}

int shell_command(const Arguments& arguments) {
  RunFlags flags;
  int status = parse_options(
      run_syntax(flags, "dirbox shell [OPTION…]", "Starts $SHELL in the sandbox."), arguments);
  if (status >= 0) return status;
  const char* shell = std::getenv("SHELL");
  return run(flags, arguments, {shell != nullptr && *shell != '\0' ? shell : "/bin/sh"});
}

}  // namespace dirbox::cli
