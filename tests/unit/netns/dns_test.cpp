#include "netns/dns.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>

using namespace dirbox;
using namespace dirbox::netns;
using namespace std::literals;

namespace {

std::string u16(std::size_t v) { return {static_cast<char>(v >> 8), static_cast<char>(v & 0xff)}; }

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string text(std::span<const std::byte> message) {
  return {reinterpret_cast<const char*>(message.data()), message.size()};
}

std::string wire_name(std::string_view name) {
  std::string out;
  while (!name.empty()) {
    auto dot = std::min(name.find('.'), name.size());
    out += static_cast<char>(dot) + std::string(name.substr(0, dot));
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  return out + '\0';
}

std::string header(std::size_t flags, std::size_t qd, std::size_t an, std::size_t ns,
                   std::size_t ar) {
  return u16(0x1234) + u16(flags) + u16(qd) + u16(an) + u16(ns) + u16(ar);
}
std::string question(std::string_view name, std::size_t type = 1, std::size_t qclass = 1) {
  return wire_name(name) + u16(type) + u16(qclass);
}
std::string opt(const std::string& options = "", std::size_t version = 0, std::size_t flags = 0) {
  return "\0"s + u16(41) + u16(4096) + '\0' + static_cast<char>(version) + u16(flags) +
         u16(options.size()) + options;
}
std::string query(std::string_view name, std::size_t type = 1) {
  return header(0x0100, 1, 0, 0, 0) + question(name, type);
}
std::string edns_query(std::string_view name, const std::string& options = "") {
  return header(0x0120, 1, 0, 0, 1) + question(name) + opt(options);
}

int parse_errno(std::string_view message) {
  auto parsed = parse_dns_query(bytes(message));
  return parsed ? 0 : parsed.error().err;
}

DnsQuery parsed(std::string_view message) { return parse_dns_query(bytes(message)).value(); }

}  // namespace

TEST_CASE("questions") {
  DnsQuery plain = parsed(query("AlLowed.TEST", 28));
  CHECK(plain.id == 0x1234);
  CHECK(plain.name->text() == "allowed.test");
  CHECK(text(plain.question) == question("AlLowed.TEST", 28));
  CHECK(plain.type == dns_type::kAaaa);
  CHECK(plain.qclass == kDnsClassIn);
  CHECK(plain.recursion_desired);
  CHECK_FALSE(plain.edns);
  DnsQuery extended = parsed(header(0x0010, 1, 0, 0, 1) + question("a.test") +
                             opt("\0\x0a\0\x02xx\0\x0c\0\0"s, 0, 0x8000));
  CHECK(extended.edns);
  CHECK(extended.dnssec_ok);
  CHECK(extended.checking_disabled);
  CHECK_FALSE(extended.recursion_desired);
  CHECK(parsed(header(0x0100, 1, 0, 0, 1) + question("a.test") + opt("", 1)).edns_version == 1);
  CHECK_FALSE(parsed(query("")).name.has_value());
  CHECK_FALSE(parsed(query("a b.test")).name.has_value());
  CHECK_FALSE(parsed(query("a\0b.test"sv)).name.has_value());
  CHECK_FALSE(parsed(query("127.0.0.1")).name.has_value());
  CHECK_FALSE(parsed(query("\xef\xbd\x81.test")).name.has_value());
  // A dot inside a label is not the end of it.
  CHECK_FALSE(parsed(header(0x0100, 1, 0, 0, 0) +
                     "\x06"
                     "a.test"s +
                     '\0' + u16(1) + u16(1))
                  .name.has_value());
}

TEST_CASE("broken messages") {
  const std::string good = query("a.test"), name = wire_name("a.test");
  struct Case {
    std::string_view what;
    std::string message;
    int err;
  };
  std::string long_name;
  for (int i = 0; i < 5; ++i) long_name += "\x3f" + std::string(63, 'a');
  std::string limit;
  for (int i = 0; i < 127; ++i)
    limit +=
        "\x01"
        "a";
  const Case cases[] = {
      {"empty", "", EINVAL},
      {"half a header", good.substr(0, 11), EINVAL},
      {"answer", header(0x8180, 1, 0, 0, 0) + question("a.test"), EINVAL},
      {"no question", header(0x0100, 0, 0, 0, 0), EBADMSG},
      {"header alone", header(0x0100, 1, 0, 0, 0), EBADMSG},
      {"two questions", header(0x0100, 2, 0, 0, 0) + question("a.test") + question("b.test"),
       EBADMSG},
      {"count without question", header(0x0100, 2, 0, 0, 0) + question("a.test"), EBADMSG},
      {"answer record", header(0x0100, 1, 1, 0, 0) + question("a.test"), EBADMSG},
      {"authority record", header(0x0100, 1, 0, 1, 0) + question("a.test"), EBADMSG},
      {"two additional", header(0x0100, 1, 0, 0, 2) + question("a.test") + opt() + opt(), EBADMSG},
      {"additional missing", header(0x0100, 1, 0, 0, 1) + question("a.test"), EBADMSG},
      {"trailing byte", good + "x", EBADMSG},
      {"trailing byte after OPT", edns_query("a.test") + "x", EBADMSG},
      {"truncated class", good.substr(0, good.size() - 1), EBADMSG},
      {"truncated name",
       header(0x0100, 1, 0, 0, 0) + "\x06"
                                    "a.t",
       EBADMSG},
      {"name without end",
       header(0x0100, 1, 0, 0, 0) + "\x01"
                                    "a",
       EBADMSG},
      {"pointer", header(0x0100, 1, 0, 0, 0) + "\xc0\x0c"s + u16(1) + u16(1), EBADMSG},
      {"pointer to itself",
       header(0x0100, 1, 0, 0, 0) +
           "\x01"
           "a\xc0\x0c"s +
           u16(1) + u16(1),
       EBADMSG},
      {"extended label",
       header(0x0100, 1, 0, 0, 0) +
           "\x41"
           "a\0"s +
           u16(1) + u16(1),
       EBADMSG},
      {"256 bytes of name", header(0x0100, 1, 0, 0, 0) + long_name + '\0' + u16(1) + u16(1),
       EBADMSG},
      {"127 labels", header(0x0100, 1, 0, 0, 0) + limit + '\0' + u16(1) + u16(1), 0},
      {"128 labels",
       header(0x0100, 1, 0, 0, 0) + limit +
           "\x01"
           "a\0"s +
           u16(1) + u16(1),
       EBADMSG},
      {"IQUERY", header(0x0900, 1, 0, 0, 0) + question("a.test"), EOPNOTSUPP},
      {"NOTIFY", header(0x2000, 1, 0, 0, 0) + question("a.test"), EOPNOTSUPP},
      {"UPDATE", header(0x2800, 1, 0, 0, 0) + question("a.test"), EOPNOTSUPP},
      {"AA", header(0x0400, 1, 0, 0, 0) + question("a.test"), EBADMSG},
      {"TC", header(0x0200, 1, 0, 0, 0) + question("a.test"), EBADMSG},
      {"Z", header(0x0040, 1, 0, 0, 0) + question("a.test"), EBADMSG},
      {"rcode", header(0x0003, 1, 0, 0, 0) + question("a.test"), EBADMSG},
      {"AD", header(0x0120, 1, 0, 0, 0) + question("a.test"), 0},
      {"other additional",
       header(0x0100, 1, 0, 0, 1) + question("a.test") + "\0"s + u16(1) + u16(1) + "\0\0\0\0\0\0"s,
       EBADMSG},
      {"OPT with a name", header(0x0100, 1, 0, 0, 1) + question("a.test") + name + opt().substr(1),
       EBADMSG},
      {"OPT with a broken option", edns_query("a.test", "\0\x0a\0\x09xx"s), EBADMSG},
      {"OPT with half an option", edns_query("a.test", "\0\x0a\0"s), EBADMSG},
      {"too long", edns_query("a.test", u16(12) + u16(4096) + std::string(4096, 'p')), EBADMSG},
      {"padding", edns_query("a.test", u16(12) + u16(400) + std::string(400, 'p')), 0},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    CHECK(parse_errno(c.message) == c.err);
  }
  for (std::size_t i = 0; i < good.size(); ++i) CHECK(parse_errno(good.substr(0, i)) != 0);
}

TEST_CASE("answers") {
  DnsQuery plain = parsed(query("a.TEST"));
  const std::string echoed = question("a.TEST");
  IpAddress address = parse_ip("198.18.0.7").value();
  CHECK(text(encode_dns_address(plain, address, 5)) ==
        header(0x8180, 1, 1, 0, 0) + echoed +
            "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\xc6\x12\x00\x07"s);
  CHECK(text(encode_dns_pointer(plain, parse_hostname("b.test").value(), 5)) ==
        header(0x8180, 1, 1, 0, 0) + echoed +
            "\xc0\x0c\x00\x0c\x00\x01\x00\x00\x00\x05\x00\x08\x01"
            "b\x04test\x00"s);
  CHECK(text(encode_dns_rcode(plain, DnsRcode::refused)) == header(0x8185, 1, 0, 0, 0) + echoed);
  CHECK(text(encode_dns_no_data(plain)).substr(0, 12) == header(0x8180, 1, 0, 1, 0));
  std::string blocked = text(encode_dns_blocked(plain, "not allowed"));
  CHECK(blocked.substr(0, 12) == header(0x8183, 1, 0, 1, 0));
  CHECK(blocked.find("not allowed") == std::string::npos);

  DnsQuery edns = parsed(edns_query("a.TEST"));
  blocked = text(encode_dns_blocked(edns, "not allowed"));
  CHECK(blocked.substr(0, 12) == header(0x8183, 1, 0, 1, 1));
  CHECK(
      blocked.ends_with("\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x11\x00\x0f\x00\x0d\x00\x0f"
                        "not allowed"s));
  CHECK(text(encode_dns_rcode(edns, DnsRcode::bad_version)) ==
        header(0x8180, 1, 0, 0, 1) + echoed + "\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x00"s);
}

TEST_CASE("no answer is larger than 512 bytes") {
  std::string name = std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                     std::string(63, 'c') + "." + std::string(61, 'd');
  DnsQuery edns = parsed(edns_query(name));
  CHECK(encode_dns_blocked(edns, std::string(1000, 'x')).size() == kDnsMaxAnswer);
  CHECK(encode_dns_no_data(edns).size() <= kDnsMaxAnswer);
  CHECK(encode_dns_address(edns, parse_ip("1.2.3.4").value()).size() <= kDnsMaxAnswer);
  CHECK(encode_dns_pointer(parsed(edns_query("255.255.255.255.in-addr.arpa")),
                           parse_hostname(name).value())
            .size() <= kDnsMaxAnswer);
}

TEST_CASE("answers to what did not parse") {
  auto answer = [](std::string_view message) {
    auto query_ = parse_dns_query(bytes(message));
    REQUIRE_FALSE(query_.has_value());
    return text(encode_dns_parse_failure(bytes(message), query_.error()));
  };
  CHECK(answer(query("a.test") + "x") == header(0x8101, 0, 0, 0, 0));
  CHECK(answer(header(0x2000, 1, 0, 0, 0)) == header(0xa004, 0, 0, 0, 0));
  CHECK(answer("short").empty());
  CHECK(answer(header(0x8180, 1, 0, 0, 0)).empty());
}

TEST_CASE("framing of TCP") {
  const std::string message = query("a.test"), framed = text(dns_tcp_frame(bytes(message)));
  CHECK(framed == u16(message.size()) + message);
  for (std::size_t i = 0; i < framed.size(); ++i)
    CHECK_FALSE(dns_tcp_message(bytes(framed.substr(0, i))).value().has_value());
  CHECK(text(dns_tcp_message(bytes(framed + "next")).value().value()) == message);
  CHECK(dns_tcp_message(bytes("\x00\x0b"s)).error().err == EBADMSG);
  CHECK(dns_tcp_message(bytes("\x10\x01"s)).error().err == EMSGSIZE);
}

TEST_CASE("reverse names") {
  auto address = [](std::string_view name) {
    return dns_reverse_address(parse_hostname(name).value());
  };
  CHECK(address("7.0.18.198.in-addr.arpa")->text() == "198.18.0.7");
  CHECK(address("7.0.18.198.IN-ADDR.ARPA.")->text() == "198.18.0.7");
  for (std::string_view name :
       {"0.18.198.in-addr.arpa", "1.7.0.18.198.in-addr.arpa", "256.0.18.198.in-addr.arpa",
        "07.0.18.198.in-addr.arpa", "x.0.18.198.in-addr.arpa", "7.0.18.198.in-addr.arpa.test",
        "7.0.18.198.xin-addr.arpa", "in-addr.arpa", "1.0.0.0.0.0.0.0.ip6.arpa"}) {
    CAPTURE(name);
    CHECK_FALSE(address(name).has_value());
  }
}
