#include <fmt/format.h>

#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "netns/bundles.h"

namespace dirbox::cli {

int bundle_command(const Arguments& arguments) {
  std::vector<std::string> names;
  Syntax syntax{"dirbox bundle [NAME]",
                "Lists the bundles of network rules, or the rules of one.",
                {},
                {{"NAME", "a bundle, with or without its @", &names, 0, 1}}};
  int status = parse_options(syntax, arguments);
  if (status >= 0) return status;
  Table table;
  if (names.empty()) {
    for (std::string_view name : netns::bundle_names()) {
      std::string rules;
      for (const netns::BundleRow& row : netns::find_bundle(name))
        rules += (rules.empty() ? "" : " ") + std::string(row.rule);
      table.add({"@" + std::string(name), rules});
    }
  } else {
    std::string_view name = names.front();
    if (name.starts_with('@')) name.remove_prefix(1);
    auto rows = netns::find_bundle(name);
    if (rows.empty()) {
      return report({"find the bundle", escape_for_terminal(name), 0,
                     "no such bundle" + did_you_mean(name, netns::bundle_names()),
                     "dirbox bundle lists them"});
    }
    for (const netns::BundleRow& row : rows)
      table.add({std::string(row.rule), std::string(row.purpose)});
  }
  fmt::print("{}", table.render());
  return 0;
}

}  // namespace dirbox::cli
