#include "netns/dns.h"

#include <algorithm>

#include "tests/fuzz/expect.h"

using namespace dirbox;
using namespace dirbox::netns;

namespace {

void check_answer(const std::vector<std::byte>& answer, const DnsQuery& query) {
  expect(answer.size() >= 12 + query.question.size() && answer.size() <= kDnsMaxAnswer);
  expect(answer[2] >= std::byte{0x80});  // QR
  expect(std::equal(query.question.begin(), query.question.end(), answer.begin() + 12));
  // Ours is no question: nothing that answers questions may answer it.
  auto parsed = parse_dns_query(answer);
  expect(!parsed && encode_dns_parse_failure(answer, parsed.error()).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes = text_of(data, size);
  auto query = parse_dns_query(bytes_of(bytes));
  if (!query) {
    auto answer = encode_dns_parse_failure(bytes_of(bytes), query.error());
    expect(answer.empty() || answer.size() == 12);
  } else {
    check_answer(encode_dns_address(*query, IpAddress::v4({198, 18, 0, 1})), *query);
    check_answer(encode_dns_no_data(*query), *query);
    check_answer(encode_dns_blocked(*query, std::string(300, 'x')), *query);
    check_answer(encode_dns_rcode(*query, DnsRcode::refused), *query);
    if (query->name) {
      auto address = dns_reverse_address(*query->name);
      if (address) check_answer(encode_dns_pointer(*query, *query->name), *query);
    }
  }
  auto framed = dns_tcp_message(bytes_of(bytes));
  if (framed && *framed) expect((*framed)->size() + 2 <= size);
  return 0;
}
