#include "launcher/sandbox/test_skip.h"

#include "launcher/sandbox/init.h"
#include "launcher/sandbox/spawn.h"

namespace dirbox::sandbox {

#ifdef DIRBOX_TEST_BUILD

bool is_skipped(const RunOptions& options, std::string_view step) {
  std::string_view rest = options.test_skip;
  while (!rest.empty()) {
    std::size_t end = rest.find(',');
    if (rest.substr(0, end) == step) return true;
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  return false;
}

#else

bool is_skipped(const RunOptions&, std::string_view) { return false; }

#endif

std::vector<std::string> list_skippable_steps() {
  std::vector<std::string> names;
  for (const StepInfo& step : list_init_steps()) names.emplace_back(step.name);
  for (std::string_view name : list_namespaces()) names.emplace_back(name);
  names.emplace_back(kDescriptorsLayer);
  return names;
}

}  // namespace dirbox::sandbox
