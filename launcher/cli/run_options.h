#pragma once
#include <string>
#include <vector>

#include "launcher/cli/options.h"
#include "launcher/plan/plan.h"
#include "profiles/load.h"

/// The options that every subcommand which compiles a Plan takes.
namespace dirbox::cli {

struct RunSettings {
  std::string profile;  ///< "": what choose_profile() says
  std::vector<std::string> read, write, hide, sockets, devices, environment, allow, deny, publish,
      host_ports, exclude, net_map;
  std::string chdir;
  bool force_cwd = false, explain = false;
};
std::vector<Option> plan_options(RunSettings& settings);

/// Where the user's profiles are: $XDG_CONFIG_HOME/dirbox or ~/.config/dirbox. Where compiled
/// filters are kept: $XDG_CACHE_HOME/dirbox or ~/.cache/dirbox. Empty without a home.
std::string config_directory();
std::string cache_directory();

/// Loads the profile `name`, adds the project's file, applies the options. An Error where that file
/// widens and is not trusted; what it widens is printed, and which such files do not hold here.
struct Loaded {
  profiles::Profile profile;
  std::vector<plan::Note> notes;  ///< about the project's file
};
Result<Loaded> load_settings(const RunSettings& settings, const std::string& name,
                             const plan::HostFacts& facts);

/// Facts, profile, plan; makes directories that the plan asks for when `prepare`. On failure prints
/// the error and returns its exit status in `status`.
struct Compiled {
  bool ok = false;
  int status = kFailed;
  std::string chosen;  ///< the profile as it was asked for: a name or a file
  plan::Plan plan;
};
Compiled compile_settings(const RunSettings& settings, const std::vector<std::string>& command,
                          bool prepare);

/// The memory of argv, one block from its first to its last byte, for init to overwrite.
void find_title(const Arguments& arguments, sandbox::RunOptions& options);

/// Warnings and waivers of a plan, on stderr.
void print_notices(const plan::Plan& plan, bool verbose);

}  // namespace dirbox::cli
