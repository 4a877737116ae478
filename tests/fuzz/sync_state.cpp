#include "launcher/sync/keys.h"
#include "launcher/sync/merge.h"
#include "tests/fuzz/expect.h"

/// Input: two states of ~/.claude.json with a NUL between: before, and as the sandbox has it.
using namespace dirbox;
using namespace dirbox::sync;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = text_of(data, size);
  const std::size_t middle = input.find('\0');
  if (middle == input.npos) return 0;
  Json::Limits limits;
  limits.exact_keys = true;
  const auto base = Json::parse(input.substr(0, middle), limits);
  const auto ours = Json::parse(input.substr(middle + 1), limits);
  if (!base || base->as_object() == nullptr || !ours) return 0;
  const std::vector<std::string> here{"/p"};
  const KeyTable& table = *find_key_table(".claude.json");
  const Json allowed = take_allowed(table, *base, *ours, here);
  // Nothing that is executed comes back, and what comes back does so once.
  expect(find_dangers(table, *base, allowed, here).empty());
  expect(is_same(take_allowed(table, *base, allowed, here), allowed));
  expect(is_same(merge_json(*base, *base, allowed), allowed));
  expect(is_same(merge_json(*base, allowed, *base), allowed));
  const Json both = merge_json(*base, allowed, *ours);
  expect(is_same(merge_json(both, both, both), both));
  return 0;
}
