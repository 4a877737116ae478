#include "launcher/guard/git_config.h"

#include "tests/fuzz/expect.h"

/// Input: two states of a file, with a NUL between; without one, the first is empty.
using namespace dirbox;
using namespace dirbox::guard;

namespace {

/// Every entry is where it says, and none reaches into the next.
void check_places(const ConfigFile& file, std::string_view text) {
  std::size_t end = 0;
  for (const ConfigEntry& entry : file.entries) {
    expect(end <= entry.begin && entry.begin < entry.end && entry.end <= text.size());
    expect(!entry.key.empty() && entry.line > 0);
    end = entry.end;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = text_of(data, size);
  const std::size_t middle = input.find('\0');
  const std::string_view before = middle == input.npos ? "" : input.substr(0, middle);
  const std::string_view after = middle == input.npos ? input : input.substr(middle + 1);
  const auto parsed = parse_git_config(after);
  if (parsed) check_places(*parsed, after);
  const auto cleaned = clean_git_config(before, after);
  expect(parsed || !cleaned);
  expect(cleaned || !parsed || parsed->entries.size() > kMaxDangers);
  if (!cleaned) return 0;
  // What is left endangers nobody, and cleaning it again changes nothing.
  const auto again = clean_git_config(before, cleaned->text);
  expect(again && again->changes.empty() && again->text == cleaned->text);
  if (cleaned->changes.empty()) expect(cleaned->text == after);
  return 0;
}
