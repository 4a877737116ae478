#include "netns/socks5.h"

#include <doctest/doctest.h>

#include <cerrno>

using namespace dirbox;
using namespace dirbox::netns;
using namespace std::literals;

namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string text(const std::vector<std::byte>& message) {
  return {reinterpret_cast<const char*>(message.data()), message.size()};
}

int request_errno(std::string_view message) {
  auto parsed = parse_socks_request(bytes(message));
  if (parsed) return *parsed ? 0 : EAGAIN;
  return parsed.error().err;
}

std::string named(std::string_view name, std::string_view tail = "\x01\xbb") {
  return "\x05\x01"s + '\0' + '\x03' + static_cast<char>(name.size()) + std::string(name) +
         std::string(tail);
}

}  // namespace

TEST_CASE("greetings") {
  auto both = parse_socks_greeting(bytes("\x05\x03\x00\x01\x02tail"sv)).value().value();
  CHECK(both.offers_none);
  CHECK(both.offers_user_password);
  CHECK(both.consumed == 5);
  auto other = parse_socks_greeting(bytes("\x05\x01\x80"sv)).value().value();
  CHECK_FALSE(other.offers_none);
  CHECK_FALSE(other.offers_user_password);
  for (std::string_view part : {""sv, "\x05"sv, "\x05\x02"sv, "\x05\x02\x00"sv})
    CHECK_FALSE(parse_socks_greeting(bytes(part)).value().has_value());
  CHECK(parse_socks_greeting(bytes("\x05\x00"sv)).error().err == EBADMSG);
  CHECK(parse_socks_greeting(bytes("GET /")).error().err == EBADMSG);
  CHECK(parse_socks_greeting(bytes("\x04\x01"sv)).error().err == EPROTONOSUPPORT);
  CHECK(text(encode_socks_method(SocksMethod::none)) == "\x05\x00"sv);
  CHECK(text(encode_socks_method(SocksMethod::unacceptable)) == "\x05\xff"sv);
  CHECK(text(encode_socks4_refusal()) == "\x00\x5b\x00\x00\x00\x00\x00\x00"sv);
}

TEST_CASE("credentials") {
  const std::string_view message = "\x01\x04user\x02pwtail"sv;
  auto parsed = parse_socks_credentials(bytes(message)).value().value();
  CHECK(parsed.user == "user");
  CHECK(parsed.password == "pw");
  CHECK(parsed.consumed == 9);
  for (std::size_t i = 0; i < 9; ++i)
    CHECK_FALSE(parse_socks_credentials(bytes(message.substr(0, i))).value().has_value());
  CHECK(parse_socks_credentials(bytes("\x05\x01\x00"sv)).error().err == EBADMSG);
  CHECK(text(encode_socks_auth_result(true)) == "\x01\x00"sv);
  CHECK(text(encode_socks_auth_result(false)) == "\x01\x01"sv);
}

TEST_CASE("requests in each type of address, for every split") {
  struct Case {
    std::string message;
    std::string_view host;
  };
  const Case cases[] = {
      {"\x05\x01\x00\x01\x7f\x00\x00\x01\x01\xbb"s, "127.0.0.1"},
      {"\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb"s,
       "[2001:db8::1]"},
      {named("Allowed.test."), "allowed.test"},
      {named("127.0.0.1"), "127.0.0.1"},
      {named("[::1]"), "[::1]"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.host);
    auto parsed = parse_socks_request(bytes(c.message + "tail")).value().value();
    CHECK(host_text(parsed.host) == c.host);
    CHECK(parsed.port == 443);
    CHECK(parsed.consumed == c.message.size());
    for (std::size_t i = 0; i < c.message.size(); ++i) {
      bool waits =
          !parse_socks_request(bytes(std::string_view(c.message).substr(0, i))).value().has_value();
      CHECK(waits);
    }
  }
}

TEST_CASE("what is refused") {
  CHECK(request_errno("\x05\x02\x00\x01"sv) == EOPNOTSUPP);
  CHECK(request_errno("\x05\x03\x00\x01"sv) == EOPNOTSUPP);
  CHECK(request_errno("\x05\x00"sv) == EOPNOTSUPP);
  CHECK(request_errno("\x05\xf0"sv) == EOPNOTSUPP);  // Tor's RESOLVE
  CHECK(request_errno("\x05\x01\x01"sv) == EBADMSG);
  CHECK(request_errno("\x05\x01\x00\x02"sv) == EAFNOSUPPORT);
  CHECK(request_errno("\x05\x01\x00\x00"sv) == EAFNOSUPPORT);
  CHECK(request_errno("\x05\x01\x00\x03\x00"sv) == EBADMSG);
  CHECK(request_errno("\x04\x01\x00\x50"sv) == EBADMSG);
  CHECK(request_errno("\x05\x01\x00\x01\x01\x02\x03\x04\x00\x00"sv) == EBADMSG);  // port 0
  for (std::string_view name :
       {"evil.test\0.wild.test"sv, "evil.test\0"sv, "\0"sv, "a b"sv, "a\r\nb"sv, "127.1"sv,
        "0x7f000001"sv, "0177.0.0.1"sv, "0"sv, "127.0.0.1."sv, "::1"sv, "[::1%25lo]"sv, "a..b"sv,
        "."sv, "evil\xe3\x80\x82test"sv, "u@a.test"sv, "a.test:443"sv, "http://a.test"sv}) {
    CAPTURE(std::string(name));
    CHECK(request_errno(named(name)) == EBADMSG);
  }
}

TEST_CASE("replies") {
  auto of = [](int err) { return socks_reply_of(Error{"", "", err, "", ""}); };
  CHECK(of(EOPNOTSUPP) == SocksReply::command_not_supported);
  CHECK(of(EAFNOSUPPORT) == SocksReply::address_type_not_supported);
  CHECK(of(EACCES) == SocksReply::not_allowed);
  CHECK(of(ECONNREFUSED) == SocksReply::connection_refused);
  CHECK(of(ENETUNREACH) == SocksReply::network_unreachable);
  CHECK(of(ETIMEDOUT) == SocksReply::host_unreachable);
  CHECK(of(EBADMSG) == SocksReply::general_failure);
  CHECK(text(encode_socks_reply(SocksReply::not_allowed)) ==
        "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"sv);
}
