#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/base/unique_fd.h"
#include "launcher/cli/command.h"
#include "launcher/cli/run_options.h"
#include "launcher/cli/selection.h"
#include "profiles/show.h"
#include "profiles/text_rules.h"
#include "seccomp/describe.h"

namespace dirbox::cli {
namespace {

profiles::Request request_for(const std::string& name) {
  profiles::Request request;
  request.name = name;
  request.config_dir = config_directory();
  return request;
}

int print_json(const Json& json) {
  fmt::print("{}\n", json.dump_for_terminal(true));
  return 0;
}

int list_verb(const Arguments& arguments) {
  bool json = false, names = false;
  int status = parse_options(
      {"dirbox profile list [--json | --names]",
       "Lists the profiles that a name finds, and where.",
       {{"--json", "", "as JSON", &json}, {"--names", "", "the names alone, a line each", &names}},
       {},
       false,
       {{"--json", "--names"}}},
      arguments);
  if (status >= 0) return status;
  profiles::HostSource source;
  auto all = profiles::list_profiles(request_for(""), source);
  if (json) return print_json(profiles::list_to_json(all));
  if (names) {
    for (const profiles::Listed& listed : all) fmt::print("{}\n", listed.name);
  } else {
    fmt::print("{}", profiles::render_list(all));
  }
  return 0;
}

int show_syscalls(const profiles::Profile& profile, bool json) {
  auto policy = plan::compile_syscalls(profile);
  if (!policy) return report(policy.error());
  const auto described = seccomp::describe(*policy);
  if (json) {
    JsonArray out;
    for (const seccomp::Description& d : described) {
      out.push_back(JsonObject{{"call", d.call},
                               {"group", d.group},
                               {"when", d.when},
                               {"action", d.action},
                               {"source", d.source},
                               {"reason", d.reason}});
    }
    return print_json(out);
  }
  Table table;
  table.add({"CALL", "GROUP", "DECISION", "RULE", "REASON"});
  for (const seccomp::Description& d : described) {
    table.add({d.call, d.group, d.action + (d.when.empty() ? "" : " if " + d.when),
               escape_for_terminal(d.source), d.reason});
  }
  fmt::print("{}", table.render());
  return 0;
}

struct Here {
  Chosen chosen;
  profiles::Profile profile;
};

/// The profile that was asked for, by itself; else the one that run takes here, as run takes it.
Result<Here> load_here(const RunSettings& settings) {
  Here out;
  if (!settings.profile.empty()) {
    out.chosen = {settings.profile, "asked for"};
    out.profile = TRY(profiles::load_profile(request_for(settings.profile)));
    return out;
  }
  plan::HostFiles files;
  const plan::HostFacts facts = TRY(plan::gather_facts(files, environ));
  out.chosen = TRY(choose_profile("", facts));
  auto loaded = load_settings(settings, out.chosen.profile, facts);
  if (!loaded) {
    Error error = std::move(loaded).error();
    error.hint += fmt::format("{}dirbox profile show {} shows the profile alone",
                              error.hint.empty() ? "" : "; ", shell_quote(out.chosen.profile));
    return Failure(std::move(error));
  }
  out.profile = std::move(loaded->profile);
  return out;
}

int show_verb(const Arguments& arguments) {
  RunSettings settings;
  std::vector<std::string> names;
  bool json = false, plan = false, syscalls = false;
  int status = parse_options(
      {"dirbox profile show [OPTION…] [NAME|FILE]",
       "Shows what a profile (default: the one that run takes here) says, with the place of every "
       "value.",
       {{"--plan", "", "what it comes to in the working directory", &plan},
        {"--syscalls", "", "what it decides about every system call", &syscalls},
        {"--force-cwd", "", "with --plan: as for run --force-cwd", &settings.force_cwd},
        {"--json", "", "as JSON", &json}},
       {{"NAME|FILE", "the profile", &names, 0, 1}},
       false,
       {{"--plan", "--syscalls"}}},
      arguments);
  if (status >= 0) return status;
  if (!names.empty()) settings.profile = names.front();
  if (plan) {
    Compiled compiled = compile_settings(settings, {}, false);
    if (!compiled.ok) return compiled.status;
    if (json) return print_json(plan::plan_to_json(compiled.plan));
    fmt::print("{}", plan::render_plan(compiled.plan, use_color(1)));
    return 0;
  }
  auto here = load_here(settings);
  if (!here) return report(here.error());
  if (syscalls) return show_syscalls(here->profile, json);
  if (json) return print_json(profiles::to_json(here->profile));
  if (names.empty()) fmt::print("{}: {}\n", here->chosen.profile, here->chosen.why);
  fmt::print("{}", profiles::show_profile(here->profile));
  return 0;
}

int check_verb(const Arguments& arguments) {
  std::vector<std::string> names;
  int status =
      parse_options({"dirbox profile check NAME|FILE…",
                     "Reads profiles and compiles them for the working directory; runs nothing.",
                     {},
                     {{"NAME|FILE", "the profiles", &names, 1}}},
                    arguments);
  if (status >= 0) return status;
  int worst = 0;
  for (const std::string& name : names) {
    RunSettings settings;
    settings.profile = name;
    settings.force_cwd = true;
    Compiled compiled = compile_settings(settings, {}, false);
    if (compiled.ok) {
      print_notices(compiled.plan, false);
      fmt::print("{}: ok\n", escape_for_terminal(name));
    } else {
      worst = kFailed;
    }
  }
  return worst;
}

Result<void> write_new(const std::string& path, std::string_view text) {
  TRY_VOID(make_directories(path_parent(path)));
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) {
    return fail_errno("write a profile", escape_for_terminal(path), errno,
                      errno == EEXIST ? "choose another name; what exists is never replaced" : "");
  }
  auto written = write_all(file.get(), text, escape_for_terminal(path));
  if (!written) ::unlink(path.c_str());  // half a profile would be in the way of the next attempt
  return written;
}

Result<std::string> make_new(const std::string& name, const std::string& base, std::string output) {
  constexpr std::string_view kDoing = "write a profile";
  if (auto wrong = profiles::check_profile_name(name))
    return fail(kDoing, escape_for_terminal(name), wrong->detail, wrong->hint);
  if (name.ends_with(".toml")) {
    // -p and extends take such a word for a file.
    return fail(kDoing, escape_for_terminal(name), "a profile's name is without .toml",
                "dirbox profile new " + name.substr(0, name.size() - 5));
  }
  if (auto wrong = profiles::check_profile_name(base))
    return fail(kDoing, escape_for_terminal(base), wrong->detail, "--extends takes a name");
  TRY_VOID(profiles::load_profile(request_for(base)));
  if (output.empty()) {
    const std::string directory = config_directory();
    if (directory.empty()) return fail(kDoing, name, "no home directory", "use -o FILE");
    output = path_join(directory, name + ".toml");
  }
  TRY_VOID(write_new(output, profiles::new_profile_text(base)));
  return output;
}

int new_verb(const Arguments& arguments) {
  std::vector<std::string> names;
  std::string base = "director", output;
  int status = parse_options(
      {"dirbox profile new [OPTION…] NAME",
       "Writes a commented profile to start from, ~/.config/dirbox/NAME.toml.",
       {{"--extends", "NAME", "the profile that it adds to (default: director)", &base},
        {"-o,--output", "FILE", "write this file instead", &output}},
       {{"NAME", "what the profile is to be called", &names, 1, 1}}},
      arguments);
  if (status >= 0) return status;
  auto path = make_new(names.front(), base, output);
  if (!path) return report(path.error());
  fmt::print("{}\n", escape_for_terminal(*path));
  return 0;
}

int diff_verb(const Arguments& arguments) {
  std::vector<std::string> names;
  int status = parse_options({"dirbox profile diff NAME|FILE NAME|FILE",
                              "Shows what two profiles grant and hide differently. Exit status: 0 "
                              "nothing, 1 something.",
                              {},
                              {{"NAME|FILE", "the two profiles", &names, 2, 2}}},
                             arguments);
  if (status >= 0) return status;
  auto left = profiles::load_profile(request_for(names[0]));
  if (!left) return report(left.error());
  auto right = profiles::load_profile(request_for(names[1]));
  if (!right) return report(right.error());
  const auto differences = profiles::diff_profiles(*left, *right);
  fmt::print("{}", profiles::render_diff(differences));
  return differences.empty() ? 0 : 1;
}

constexpr Subcommand kVerbs[] = {
    {"list", "the profiles that there are", list_verb},
    {"show", "a profile, its plan, or its system calls", show_verb},
    {"check", "read and compile profiles, and run nothing", check_verb},
    {"new", "write a commented profile to start from", new_verb},
    {"diff", "what two profiles grant differently", diff_verb},
};

}  // namespace

int profile_command(const Arguments& arguments) { return run_verb("profile", kVerbs, arguments); }

}  // namespace dirbox::cli
