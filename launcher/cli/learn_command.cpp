#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/run_options.h"
#include "launcher/learn/lesson.h"
#include "launcher/log/event_log.h"
#include "launcher/supervise/supervisor.h"
#include "profiles/load.h"
#include "profiles/show.h"

namespace dirbox::cli {
namespace {

constexpr unsigned kMostRounds = 20;

struct LearnFlags {
  RunSettings settings;
  std::string output, rounds = "1";
  bool force = false;
};

Syntax learn_syntax(LearnFlags& flags) {
  RunSettings& settings = flags.settings;
  Syntax syntax{
      "dirbox learn -o FILE [OPTION…] -- COMMAND [ARG…]",
      "Runs COMMAND in the sandbox of a profile, and writes a profile with what it lacked.",
      {{"-o,--output", "FILE", "where the profile is written", &flags.output},
       {"-p,--profile", "NAME|FILE", "the base profile (default: the project's)",
        &settings.profile},
       {"--rounds", "N", "run COMMAND up to N times, each with what the one before has learnt",
        &flags.rounds},
       {"--force", "", "replace FILE", &flags.force},
       {"--net-map", "NAME:PORT=ADDR:PORT", "for tests (DIRBOX_TEST=1): where a name really is",
        &settings.net_map},
       {"--force-cwd", "", "run even in the home, in / or above hidden paths",
        &settings.force_cwd}}};
  syntax.takes_command = true;
  return syntax;
}

bool is_file_name(const std::string& profile) {
  return profile.find('/') != profile.npos || profile.ends_with(".toml");
}

/// What a profile elsewhere calls the base: a name, or a whole path.
std::string base_name(const std::string& profile) {
  char real[PATH_MAX];
  if (!is_file_name(profile) || ::realpath(profile.c_str(), real) == nullptr) return profile;
  return real;
}

/// As load_profile() takes it for a path. What could be known before COMMAND runs is told then: its
/// effects stay.
Result<std::string> output_path(const LearnFlags& flags) {
  constexpr std::string_view kDoing = "write a profile";
  if (flags.output.empty()) return fail(kDoing, "", "no file was named", "add -o FILE.toml");
  struct stat st {};
  const bool exists = ::lstat(flags.output.c_str(), &st) == 0;
  if (flags.output.ends_with('/') || (exists && S_ISDIR(st.st_mode)))
    return fail_errno(kDoing, escape_for_terminal(flags.output), EISDIR, "name a file in it");
  if (!flags.force && exists) {
    return fail_errno(kDoing, escape_for_terminal(flags.output), EEXIST,
                      "--force replaces it; to learn more on top of it, make it the base: -p");
  }
  char directory[PATH_MAX];
  if (::realpath((path_parent(flags.output) + "/.").c_str(), directory) == nullptr ||
      ::faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
    return fail_errno(kDoing, escape_for_terminal(flags.output));
  return path_join(directory, path_name(flags.output));
}

struct Round {
  int status = kFailed;
  bool ran = false;
};

/// Runs the command once under `profile`; `events` gets what was refused.
Round run_round(const Arguments& arguments, const Compiled& compiled,
                std::vector<log::Event>& events) {
  sandbox::RunOptions options;
  find_title(arguments, options);
  if (auto done = supervise::prepare_filter(compiled.plan, cache_directory(), options); !done)
    return {report(done.error())};
  auto outcome = supervise::run_sandbox(compiled.plan, std::move(options), log::state_directory());
  if (!outcome) return {report(outcome.error())};
  for (const std::string& complaint : outcome->complaints) {
    fmt::print(stderr, "dirbox: {}\n", escape_for_terminal(complaint));
  }
  if (outcome->dropped != 0) {
    fmt::print(stderr, "dirbox: {} events were too many to learn from\n", outcome->dropped);
  }
  events.insert(events.end(), outcome->events.begin(), outcome->events.end());
  return {outcome->status, true};
}

std::vector<std::string> active_texts(const learn::Lesson& lesson) {
  std::vector<std::string> texts;
  for (const learn::Grant& grant : lesson.grants) {
    if (grant.active)
      texts.push_back(fmt::format("{} {}", static_cast<int>(grant.list), grant.text));
  }
  return texts;
}

class Student {
 public:
  Student(LearnFlags& flags, const Arguments& arguments, std::string output)
      : flags_(flags), arguments_(arguments), output_(std::move(output)) {
    for (const std::string& word : arguments.command) {
      command_ += (command_.empty() ? "" : " ") + shell_quote(word);
    }
  }

  int learn(unsigned rounds) {
    Round round;
    flags_.settings.explain = true;
    for (unsigned i = 1; i <= rounds; ++i) {
      auto compiled = compile_settings(flags_.settings, arguments_.command, true);
      if (!compiled.ok) return compiled.status;
      if (i == 1) begin(compiled);
      round = run_round(arguments_, compiled, events_);
      if (!round.ran) return round.status;
      const bool more = take_lesson(round.status);
      if (auto done = replace_file(output_, learn::render_lesson(lesson_, {base_, command_}), 0644);
          !done) {
        return report({"write a profile", escape_for_terminal(output_), done.error().err, "", ""});
      }
      fmt::print(stderr, "dirbox: learn: round {}: status {}, {} entries\n", i, round.status,
                 active_texts(lesson_).size());
      if (!more) break;
      flags_.settings.profile = output_;
    }
    if (auto done = show(); !done) return report(done.error());
    return round.status;
  }

 private:
  void begin(const Compiled& compiled) {
    const plan::Plan& plan = compiled.plan;
    print_notices(plan, false);
    base_ = base_name(compiled.chosen);
    setting_.home = plan.home;
    setting_.cwd = plan.cwd;
    for (const plan::PathRule& rule : plan.rules) {
      if (rule.access == plan::PathAccess::hide) setting_.hidden.push_back(rule.path);
    }
    const plan::PathRule* around = plan::find_rule(plan, path_parent(output_));
    if (around != nullptr && around->access == plan::PathAccess::write) {
      fmt::print(stderr,
                 "dirbox: warning: {} lies where the command can write, and change it afterwards\n",
                 escape_for_terminal(output_));
    }
  }

  /// True when another round could bring more: this one added something.
  bool take_lesson(int status) {
    const auto before = active_texts(lesson_);
    lesson_ = learn::generalise(events_, setting_);
    bool more = active_texts(lesson_) != before;
    if (!more && status != 0 && !setting_.failed) {
      // Nothing else is left that could be the reason.
      setting_.failed = true;
      lesson_ = learn::generalise(events_, setting_);
      more = active_texts(lesson_) != before;
    }
    return more;
  }

  /// What was learnt, as a difference of profiles, and what stays refused.
  Result<void> show() const {
    profiles::Request request;
    request.config_dir = config_directory();
    request.name = base_;
    const profiles::Profile before = TRY(profiles::load_profile(request));
    request.name = output_;
    const profiles::Profile after = TRY(profiles::load_profile(request));
    auto differences = profiles::diff_profiles(before, after);
    std::erase_if(differences, [](const auto& d) { return d.key == "description"; });
    fmt::print(stderr, "{}", profiles::render_diff(differences));
    for (const learn::Refusal& refusal : lesson_.refusals) {
      if (refusal.secret) fmt::print(stderr, "dirbox: stays hidden: {}\n", refusal.what);
    }
    if (lesson_.empty())
      fmt::print(stderr, "dirbox: learn: nothing was refused that can be granted\n");
    fmt::print(stderr, "dirbox: wrote {0}; read it, then: dirbox run -p {0} -- {1}\n",
               escape_for_terminal(shell_quote(output_)), escape_for_terminal(command_));
    return {};
  }

  LearnFlags& flags_;
  const Arguments& arguments_;
  std::string output_, command_, base_;
  learn::Setting setting_;
  std::vector<log::Event> events_;
  learn::Lesson lesson_;
};

}  // namespace

int learn_command(const Arguments& arguments) {
  LearnFlags flags;
  const Syntax syntax = learn_syntax(flags);
  int status = parse_options(syntax, arguments);
  if (status >= 0) return status;
  if (arguments.command.empty()) {
    fmt::print(stderr, "dirbox: no command\nusage: {}\n", syntax.usage);
    return kFailed;
  }
  char* end = nullptr;
  const unsigned long rounds = std::strtoul(flags.rounds.c_str(), &end, 10);
  if (*end != '\0' || rounds < 1 || rounds > kMostRounds) {
    return report({"learn",
                   escape_for_terminal(flags.rounds),
                   0,
                   fmt::format("--rounds takes a number from 1 to {}", kMostRounds),
                   {}});
  }
  auto output = output_path(flags);
  if (!output) return report(output.error());
  return Student(flags, arguments, *output).learn(static_cast<unsigned>(rounds));
}

}  // namespace dirbox::cli
