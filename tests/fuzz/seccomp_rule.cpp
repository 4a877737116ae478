// Rule texts and cache files. A rule that is accepted also has to decide alike in the Policy and in
// the BPF that comes of it.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "seccomp/argument_block.h"
#include "seccomp/cache.h"
#include "seccomp/evaluate.h"
#include "seccomp/policy.h"

using namespace dirbox;
using namespace dirbox::seccomp;

namespace {

const std::string kKey(64, 'a');

void cache_file(std::string_view bytes) {
  auto filter = parse_cache_file(std::as_bytes(std::span(bytes)), kKey);
  if (filter && format_cache_file(*filter, kKey) != bytes) std::abort();
}

/// First line: the action. Further lines: tests. After a NUL: six arguments.
void rule(std::string_view bytes) {
  std::string_view text = bytes.substr(0, bytes.find('\0'));
  seccomp_data data{};
  std::string_view rest = bytes.substr(std::min(bytes.size(), text.size() + 1));
  std::memcpy(data.args, rest.data(), std::min(rest.size(), sizeof data.args));
  RuleInput input{"socket", {}, {}, {}};
  for (bool first = true; !text.empty() || first; first = false) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (first) {
      input.action = line;
      continue;
    }
    auto test = parse_test(line);
    if (test && parse_test(test->text()).value() != *test) std::abort();
    input.when.emplace_back(line);
  }
  PolicyInput policy_input;
  policy_input.rules.push_back(std::move(input));
  auto policy = compile_policy(policy_input);
  if (!policy) return;
  const Call& socket = *find_call("socket");
  auto block = compile_block(policy->clauses(socket));
  if (!block) std::abort();
  auto outcome = evaluate(*block, data);
  std::uint64_t args[6];
  for (int i = 0; i < 6; ++i) args[i] = data.args[i];
  auto number = static_cast<std::uint32_t>(socket.number(kNativeArch));
  Action want = policy->decide(kNativeArch, number, args).action;
  if (!outcome || outcome->value != return_value(want)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    cache_file(bytes);
  } else {
    rule(bytes);
  }
  return 0;
}
