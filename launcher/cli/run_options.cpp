#include "launcher/cli/run_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <optional>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/project_file.h"
#include "launcher/cli/selection.h"
#include "launcher/plan/layers.h"
#include "profiles/decode.h"

namespace dirbox::cli {
namespace {

std::string xdg_directory(const char* variable, const char* fallback) {
  const char* base = std::getenv(variable);
  if (base != nullptr && *base == '/') return path_join(base, "dirbox");
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home != '/') return {};
  return path_join(path_join(home, fallback), "dirbox");
}

/// The test seam: refused, and said, unless the environment asks for it.
Result<std::vector<netns::NetMap>> parse_net_map(const RunSettings& settings) {
  std::vector<netns::NetMap> maps;
  if (settings.net_map.empty()) return maps;
  const char* test = std::getenv("DIRBOX_TEST");
  if (test == nullptr || std::string_view(test) != "1") {
    return fail("use --net-map", settings.net_map.front(), "only tests may redirect names",
                "set DIRBOX_TEST=1 in the environment if this is one");
  }
  for (const std::string& text : settings.net_map) {
    fmt::print(stderr, "dirbox: test: --net-map {}\n", escape_for_terminal(text));
    maps.push_back(TRY(netns::parse_net_map(text)));
  }
  return maps;
}

}  // namespace

std::vector<Option> plan_options(RunSettings& settings) {
  return {
      {"-p,--profile", "NAME|FILE", "the profile (default: the project's)", &settings.profile},
      {"--read", "PATH", "let the command read PATH", &settings.read},
      {"--write", "PATH", "let the command read and write PATH", &settings.write},
      {"--hide", "PATH", "make PATH absent inside", &settings.hide},
      {"--socket", "PATH", "let the command connect to a unix socket of the host",
       &settings.sockets},
      {"--device", "PATH", "let the command use a device node", &settings.devices},
      {"--allow", "RULE", "let the command reach a host: host, *.host, host:port, network, @bundle",
       &settings.allow},
      {"--deny", "RULE", "refuse a host, whatever allows it", &settings.deny},
      {"--publish", "PORT", "reach a port inside from the host: port, address:port, outside:inside",
       &settings.publish},
      {"--host-port", "PORT", "reach a port of the host's 127.0.0.1 inside: port, inside:outside",
       &settings.host_ports},
      {"--exclude", "COMMAND", "let COMMAND run on the host, with your rights and any arguments",
       &settings.exclude},
      {"--net-map", "NAME:PORT=ADDR:PORT", "for tests (DIRBOX_TEST=1): where a name really is",
       &settings.net_map},
      {"--env", "NAME[=VALUE]", "pass or set an environment variable", &settings.environment},
      {"--chdir", "DIR", "start in DIR, which the sandbox shows, with the grants of this directory",
       &settings.chdir},
      {"--explain", "", "log refused reads and executions as well; slower", &settings.explain},
      {"--force-cwd", "", "run even in the home, in / or above hidden paths", &settings.force_cwd},
  };
}

std::string config_directory() { return xdg_directory("XDG_CONFIG_HOME", ".config"); }
std::string cache_directory() { return xdg_directory("XDG_CACHE_HOME", ".cache"); }

/// Adds the project's file to `into`.
Result<void> add_project_file(Loaded& into, const profiles::Overrides& options,
                              const plan::HostFacts& facts) {
  for (const plan::Note& note : find_idle_files(facts))
    fmt::print(stderr, "dirbox: warning: {}\n", escape_sentence(note.text));
  auto file = TRY(find_project_file(into.profile, options, facts));
  if (!file) return {};
  const bool widens = file->widens();
  if (widens && !check_trusted(*file)) {
    fmt::print(stderr, "{}", render_changes(file->changes));
    return fail("use a project file", escape_for_terminal(file->path),
                "it widens what the profile grants, and is not trusted with this content",
                "dirbox trust shows it, and records that you do");
  }
  into.notes = std::move(file->idle);
  into.notes.insert(into.notes.begin(), {fmt::format("project file {}: {}", file->path,
                                                     widens ? "trusted with this content"
                                                            : "nothing in it needs trust"),
                                         {}});
  into.profile = std::move(file->profile);
  return {};
}

Result<Loaded> load_settings(const RunSettings& settings, const std::string& name,
                             const plan::HostFacts& facts) {
  profiles::Request request;
  request.name = name;
  request.config_dir = config_directory();
  Loaded out;
  out.profile = TRY(profiles::load_profile(request));
  profiles::Overrides overrides;
  char* cwd = ::get_current_dir_name();
  if (cwd == nullptr) return fail_errno("find the working directory", "");
  overrides.cwd = cwd;
  std::free(cwd);
  overrides.read = settings.read;
  overrides.write = settings.write;
  overrides.hide = settings.hide;
  overrides.sockets = settings.sockets;
  overrides.devices = settings.devices;
  overrides.env = settings.environment;
  overrides.allow = settings.allow;
  overrides.deny = settings.deny;
  overrides.publish = settings.publish;
  overrides.host_ports = settings.host_ports;
  overrides.exclude = settings.exclude;
  TRY_VOID(add_project_file(out, overrides, facts));
  TRY_VOID(profiles::apply_overrides(out.profile, overrides));
  if (settings.explain) out.profile.observe = {seccomp::Observe::reads, {"--explain", 0, 0}};
  return out;
}

/// Without what two runs cannot have at once (--publish), and without values of variables, which
/// everybody could read in the process list.
std::vector<std::string> options_again(const RunSettings& settings, const std::string& profile,
                                       const std::string& cwd) {
  const bool is_path = profile.find('/') != profile.npos || profile.ends_with(".toml");
  std::vector<std::string> out{"--profile=" + (is_path ? path_join(cwd, profile) : profile)};
  struct List {
    const char* option;
    const std::vector<std::string>& values;
  };
  const List lists[] = {{"--read", settings.read},       {"--write", settings.write},
                        {"--hide", settings.hide},       {"--socket", settings.sockets},
                        {"--device", settings.devices},  {"--allow", settings.allow},
                        {"--deny", settings.deny},       {"--host-port", settings.host_ports},
                        {"--exclude", settings.exclude}, {"--env", settings.environment}};
  for (const List& list : lists) {
    for (const std::string& value : list.values) {
      if (&list.values == &settings.environment && value.find('=') != value.npos) continue;
      out.push_back(std::string(list.option) + "=" + value);
    }
  }
  if (settings.force_cwd) out.emplace_back("--force-cwd");
  return out;
}

Compiled compile_settings(const RunSettings& settings, const std::vector<std::string>& command,
                          bool prepare) {
  // Not freed: thousands of small objects, and what follows is the process's last work.
  struct Inputs {
    plan::HostFiles files;
    std::optional<plan::HostFacts> facts;
    std::optional<profiles::Profile> profile;
  };
  static auto& kept = *new std::deque<Inputs>;
  Inputs& inputs = kept.emplace_back();
  Compiled out;
  auto failed = [&](const Error& error) {
    report(error);
    return std::move(out);
  };
  auto facts = plan::gather_facts(inputs.files, environ);
  if (!facts) return failed(facts.error());
  inputs.facts = std::move(*facts);
  auto chosen = choose_profile(settings.profile, *inputs.facts);
  if (!chosen) return failed(chosen.error());
  auto loaded = load_settings(settings, chosen->profile, *inputs.facts);
  if (!loaded) {
    // Who named no profile does not know where this one comes from. It has no part in an option's
    // value that cannot be read.
    const Error& error = loaded.error();
    const bool of_option =
        error.doing.starts_with("--") && !error.detail.starts_with("the profile");
    if (settings.profile.empty() && !of_option)
      loaded.error().hint += fmt::format("{}profile {}: {}", error.hint.empty() ? "" : "; ",
                                         chosen->profile, chosen->why);
    return failed(loaded.error());
  }
  inputs.profile = std::move(loaded->profile);
  plan::Command wanted;
  wanted.argv = command;
  wanted.force_cwd = settings.force_cwd;
  wanted.chdir = settings.chdir;
  auto net_map = parse_net_map(settings);
  if (!net_map) return failed(net_map.error());
  wanted.net_map = *net_map;
  auto compiled = plan::compile(*inputs.profile, *inputs.facts, wanted);
  if (compiled && prepare && !compiled->missing_directories.empty()) {
    for (const std::string& directory : compiled->missing_directories) {
      auto made = make_directories(directory);
      if (made) continue;
      made.error().hint =
          fmt::format("the profile has {} made, and HOME is {}", directory, inputs.facts->home);
      return failed(made.error());
    }
    compiled = plan::compile(*inputs.profile, *inputs.facts, wanted);
  }
  if (!compiled) {
    report(compiled.error().error);
    out.status = compiled.error().status;
    return out;
  }
  out.plan = std::move(*compiled);
  out.plan.again = options_again(settings, chosen->profile, out.plan.cwd);
  out.chosen = chosen->profile;
  out.plan.notes.insert(out.plan.notes.begin(), loaded->notes.begin(), loaded->notes.end());
  out.plan.notes.insert(
      out.plan.notes.begin(),
      {fmt::format("profile {}: {}", escape_for_terminal(chosen->profile), chosen->why), {}});
  out.ok = true;
  return out;
}

void find_title(const Arguments& arguments, sandbox::RunOptions& options) {
  if (arguments.raw_count == 0) return;
  char* first = arguments.raw[0];
  char* last = arguments.raw[arguments.raw_count - 1];
  options.title = first;
  options.title_size = static_cast<std::size_t>(last - first) + std::strlen(last);
}

/// What is left of each promise from which a waiver took a layer.
void print_missing_layers(const plan::Plan& plan) {
  for (const plan::Enforced& enforced : plan::list_enforced(plan)) {
    if (enforced.missing.empty()) continue;
    fmt::print(stderr, "dirbox: weaker: {}: {}\n", enforced.promise,
               plan::describe_layers(enforced));
  }
}

void print_notices(const plan::Plan& plan, bool verbose) {
  auto print = [](const char* kind, const plan::Note& note) {
    std::string origin = note.origin.file.empty() ? "" : fmt::format(" ({})", note.origin.text());
    fmt::print(stderr, "dirbox: {}: {}\n", kind, escape_sentence(note.text + origin));
  };
  for (const plan::Note& note : plan.warnings) print("warning", note);
  for (const plan::Note& note : plan.waivers) print("weaker", note);
  if (!plan.waivers.empty()) print_missing_layers(plan);
  if (!verbose) return;
  for (const plan::Note& note : plan.notes) print("note", note);
  for (const std::string& name : plan.dropped_variables) {
    fmt::print(stderr, "dirbox: note: variable not passed: {}\n", escape_for_terminal(name));
  }
}

}  // namespace dirbox::cli
