#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/run_options.h"
#include "launcher/plan/layers.h"
#include "launcher/supervise/supervisor.h"
#include "launcher/verify/probe.h"
#include "launcher/verify/sabotage.h"
#include "launcher/verify/verify.h"

namespace dirbox::cli {
namespace {

constexpr int kUntested = 2;

struct VerifyFlags {
  RunSettings settings;
  std::string sabotage;
  std::vector<std::string> only, waive;
  bool json = false, verbose = false;
};

Syntax verify_syntax(VerifyFlags& flags) {
  Syntax syntax{"dirbox verify [OPTION…]",
                "Attacks the sandbox that run would make here, and tells which promises hold.",
                plan_options(flags.settings)};
  syntax.options.push_back({"--only", "NAME",
                            "one promise, or all of an area (\"list\" names them); repeatable",
                            &flags.only});
  syntax.options.push_back(
      {"--waive", "NAME", "accept that the profile gives up a promise, or an area", &flags.waive});
  syntax.options.push_back({"--json", "", "the report as JSON", &flags.json});
  syntax.options.push_back({"-v,--verbose", "", "show every probe", &flags.verbose});
#ifdef DIRBOX_TEST_BUILD
  syntax.options.push_back({"--sabotage", "LAYER[,LAYER…]",
                            "leave layers out silently (\"list\" names them)", &flags.sabotage});
#endif
  return syntax;
}

/// The canary must be in the memory that this process began with, since init begins as its copy:
/// so start again with it.
Result<void> plant_variable(char** argv) {
  if (std::getenv(verify::kCanaryVariable) != nullptr) return {};
  if (::setenv(verify::kCanaryVariable, verify::make_token().c_str(), 1) != 0)
    return fail_errno("set a variable", verify::kCanaryVariable);
  ::execv("/proc/self/exe", argv);
  return fail_errno("start again", "/proc/self/exe");
}

/// Descriptors 0-2 are open afterwards: no pipe of ours takes their place.
Result<void> open_standard() {
  int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  while (fd >= 0 && fd <= STDERR_FILENO) fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd < 0) return fail_errno("open", "/dev/null");
  ::close(fd);
  return {};
}

int print_list(const std::vector<std::string>& names) {
  for (const std::string& name : names) fmt::print("{}\n", name);
  return 0;
}

int untested(const Error& error) {
  report(error);
  return kUntested;
}

}  // namespace

int verify_command(const Arguments& arguments) {
  VerifyFlags flags;
  int status = parse_options(verify_syntax(flags), arguments);
  if (status >= 0) return status == 0 ? 0 : kUntested;
  if (arguments.has_command) {
    fmt::print(stderr, "dirbox: verify takes no command\n");
    return kUntested;
  }
  if (flags.only == std::vector<std::string>{"list"}) return print_list(verify::list_promises());
  if (flags.sabotage == "list") return print_list(verify::list_layers());
  if (auto done = plant_variable(arguments.raw); !done) return untested(done.error());
  if (auto done = open_standard(); !done) return untested(done.error());
  Compiled compiled = compile_settings(flags.settings, {"sh"}, true);
  if (!compiled.ok) return kUntested;
  verify::Options options;
  options.only = flags.only;
  options.accepted = flags.waive;
  options.sabotage = flags.sabotage;
  find_title(arguments, options.sandbox);
  if (auto done = supervise::prepare_filter(compiled.plan, cache_directory(), options.sandbox);
      !done) {
    return untested(done.error());
  }
  auto found = verify::run_verify(compiled.plan, std::move(options));
  if (!found) return untested(found.error());
  if (flags.json) {
    Json json = verify::report_to_json(*found);
    json.set("layers", plan::layers_to_json(compiled.plan));
    fmt::print("{}\n", json.dump_for_terminal(true));
  } else {
    fmt::print("{}\nwhat enforces it:\n{}",
               verify::render_report(*found, flags.verbose, use_color(1)),
               plan::render_layers(compiled.plan));
  }
  return found->status();
}

int probe_command(const Arguments&) { return verify::serve_probes(STDIN_FILENO, STDOUT_FILENO); }

}  // namespace dirbox::cli
