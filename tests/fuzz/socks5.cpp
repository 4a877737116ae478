#include "netns/socks5.h"

#include "tests/fuzz/expect.h"

using namespace dirbox;
using namespace dirbox::netns;

namespace {

/// A whole message consumes what it needs and no less: its first bytes alone ask for more, and
/// bytes after it change nothing.
template <class Parse>
void check(Parse parse, std::string_view bytes) {
  auto parsed = parse(bytes_of(bytes));
  if (!parsed) return;
  if (!*parsed) {
    expect(bytes.size() < kSocksMaxMessage);
    return;
  }
  std::size_t consumed = (*parsed)->consumed;
  expect(consumed > 0 && consumed <= bytes.size() && consumed <= kSocksMaxMessage);
  auto shorter = parse(bytes_of(bytes.substr(0, consumed - 1)));
  expect(shorter && !*shorter);
  auto exact = parse(bytes_of(bytes.substr(0, consumed)));
  expect(exact && *exact && (*exact)->consumed == consumed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes = text_of(data, size);
  check(parse_socks_greeting, bytes);
  check(parse_socks_credentials, bytes);
  check(parse_socks_request, bytes);
  auto request = parse_socks_request(bytes_of(bytes));
  if (request && *request) {
    expect((*request)->port != 0);
    expect(parse_host(host_text((*request)->host)).value() == (*request)->host);
  }
  return 0;
}
