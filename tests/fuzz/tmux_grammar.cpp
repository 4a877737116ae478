#include "launcher/broker/tmux/grammar.h"
#include "tests/fuzz/expect.h"

/// Arguments, separated by newlines. What is accepted can name nothing but what the grammar lets.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dirbox::broker::tmux;
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < size && words.size() < 64; ++i) {
    if (data[i] == '\n') {
      words.emplace_back();
    } else {
      words.back() += static_cast<char>(data[i]);
    }
  }
  auto request = parse_request(words);
  if (!request) return 0;
  for (const std::string& word : words) {
    expect(!word.ends_with(';') && word.find("#(") == word.npos);
  }
  const auto again = parse_target(target_text(request->target));
  expect(request->target.session.empty() || again.has_value());
  for (const std::string& flag : request->flags) expect(flag.find("#(") == flag.npos);
  return 0;
}
