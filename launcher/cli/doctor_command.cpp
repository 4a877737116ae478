#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "launcher/doctor/doctor.h"

namespace dirbox::cli {
namespace {

int print_list() {
  for (const doctor::Check& check : doctor::checks()) fmt::print("{}\n", check.name);
  return 0;
}

bool known(const std::string& only) {
  for (const doctor::Check& check : doctor::checks()) {
    if (check.name == only || check.area == only) return true;
  }
  return false;
}

}  // namespace

int doctor_command(const Arguments& arguments) {
  bool json = false, fix = false, verbose = false;
  std::vector<std::string> only;
  int status = parse_options(
      {"dirbox doctor [OPTION…]",
       "Tries everything that dirbox needs of this machine, and tells what fails, why, and what to "
       "do.",
       {{"--json", "", "the report as JSON", &json},
        {"--fix", "", "print the commands that repair what fails, for sh", &fix},
        {"--only", "NAME", "one check, or all of an area (\"list\" names them); repeatable", &only},
        {"-v,--verbose", "", "say what each is needed for", &verbose}},
       {},
       false,
       {{"--fix", "--json"}}},
      arguments);
  if (status >= 0) return status;
  if (only == std::vector<std::string>{"list"}) return print_list();
  const auto unknown = std::find_if_not(only.begin(), only.end(), known);
  if (unknown != only.end())
    return report({"examine this machine", escape_for_terminal(*unknown), 0,
                   "there is no such check", "dirbox doctor --only list names them"});
  const doctor::Report found = doctor::run_doctor(doctor::read_host_state(), only);
  if (json) {
    fmt::print("{}\n", doctor::report_to_json(found).dump_for_terminal(true));
  } else if (fix) {
    fmt::print("{}", doctor::render_fixes(found));
  } else {
    fmt::print("{}", doctor::render_report(found, verbose, use_color(1)));
  }
  return found.status();
}

}  // namespace dirbox::cli
