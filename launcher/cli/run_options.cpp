#include "launcher/cli/run_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
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

}  // namespace

std::vector<Option> plan_options(RunSettings& settings) {
  return {
      {"-p,--profile", "NAME|FILE", "the profile (default: director)", &settings.profile},
      {"--read", "PATH", "let the command read PATH", &settings.read},
      {"--write", "PATH", "let the command read and write PATH", &settings.write},
      {"--hide", "PATH", "make PATH absent inside", &settings.hide},
      {"--env", "NAME[=VALUE]", "pass or set an environment variable", &settings.environment},
      {"--force-cwd", "", "run even in the home, in / or above hidden paths", &settings.force_cwd},
  };
}

std::string config_directory() { return xdg_directory("XDG_CONFIG_HOME", ".config"); }
std::string cache_directory() { return xdg_directory("XDG_CACHE_HOME", ".cache"); }

Result<profiles::Profile> load_settings(const RunSettings& settings) {
  profiles::Request request;
  request.name = settings.profile;
  request.config_dir = config_directory();
  profiles::Profile profile = TRY(profiles::load_profile(request));
  profiles::Overrides overrides;
  char* cwd = ::get_current_dir_name();
  if (cwd == nullptr) return fail_errno("find the working directory", "");
  overrides.cwd = cwd;
  std::free(cwd);
  overrides.read = settings.read;
  overrides.write = settings.write;
  overrides.hide = settings.hide;
  overrides.env = settings.environment;
  overrides.allow = settings.allow;
  overrides.deny = settings.deny;
  TRY_VOID(profiles::apply_overrides(profile, overrides));
  return profile;
}

Compiled compile_settings(const RunSettings& settings, const std::vector<std::string>& command,
                          bool prepare) {
  Compiled out;
  auto failed = [&](const Error& error) {
    report(error);
    return std::move(out);
  };
  auto profile = load_settings(settings);
  if (!profile) return failed(profile.error());
  plan::HostFiles files;
  auto facts = plan::gather_facts(files, environ);
  if (!facts) return failed(facts.error());
  plan::Command wanted{command, settings.force_cwd};
  auto compiled = plan::compile(*profile, *facts, wanted);
  if (compiled && prepare && !compiled->missing_directories.empty()) {
    for (const std::string& directory : compiled->missing_directories) {
      if (auto made = make_directories(directory); !made) return failed(made.error());
    }
    compiled = plan::compile(*profile, *facts, wanted);
  }
  if (!compiled) {
    report(compiled.error().error);
    out.status = compiled.error().status;
    return out;
  }
  out.plan = std::move(*compiled);
  out.ok = true;
  return out;
}

void print_notices(const plan::Plan& plan, bool verbose) {
  auto print = [](const char* kind, const plan::Note& note) {
    std::string origin = note.origin.file.empty() ? "" : fmt::format(" ({})", note.origin.text());
    fmt::print(stderr, "dirbox: {}: {}{}\n", kind, note.text, origin);
  };
  for (const plan::Note& note : plan.warnings) print("warning", note);
  for (const plan::Note& note : plan.waivers) print("weaker", note);
  if (!verbose) return;
  for (const plan::Note& note : plan.notes) print("note", note);
  for (const std::string& name : plan.dropped_variables) {
    fmt::print(stderr, "dirbox: note: variable not passed: {}\n", escape_for_terminal(name));
  }
}

}  // namespace dirbox::cli
