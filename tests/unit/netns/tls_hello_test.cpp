#include "netns/tls_hello.h"

#include <doctest/doctest.h>

using namespace dirbox;
using namespace dirbox::netns;
using namespace std::literals;

namespace {

std::string u8(std::size_t v) { return std::string(1, static_cast<char>(v)); }
std::string u16(std::size_t v) { return u8(v >> 8) + u8(v & 0xff); }
std::string u24(std::size_t v) { return u8(v >> 16) + u16(v & 0xffff); }
std::string vec8(const std::string& s) { return u8(s.size()) + s; }
std::string vec16(const std::string& s) { return u16(s.size()) + s; }
std::string ext(std::size_t type, const std::string& body) { return u16(type) + vec16(body); }
std::string sni(const std::string& name) { return ext(0, vec16(u8(0) + vec16(name))); }

std::string body(const std::string& extensions) {
  return "\x03\x03" + std::string(32, 'r') + vec8(std::string(32, 's')) +
         vec16("\x13\x01\x13\x02") + vec8(u8(0)) + vec16(extensions);
}
std::string message(const std::string& content) { return u8(1) + u24(content.size()) + content; }
std::string hello(const std::string& extensions) { return message(body(extensions)); }

/// `bytes` in handshake records of `size` bytes each.
std::string records(const std::string& bytes, std::size_t size = 16384) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += size)
    out += "\x16\x03\x01" + vec16(bytes.substr(i, size));
  return out;
}

TlsHelloReader read(std::string_view stream, std::size_t piece = 100000) {
  TlsHelloReader reader;
  for (std::size_t i = 0; i < stream.size(); i += piece) {
    auto part = stream.substr(i, piece);
    reader.feed(std::as_bytes(std::span(part.data(), part.size())));
  }
  return reader;
}

}  // namespace

TEST_CASE("a hello is the same in every split of records and segments") {
  std::string alpn = ext(16, vec16(vec8("h2") + vec8("http/1.1")));
  std::string key_share = ext(51, std::string(1300, 'k'));
  std::string bytes = hello(key_share + sni("Allowed.Test") + alpn + ext(0x0a0a, ""));
  for (std::size_t record : {1, 5, 100, 1000, 16384}) {
    for (std::size_t segment : {1, 4, 6, 1460, 100000}) {
      CAPTURE(record);
      CAPTURE(segment);
      TlsHelloReader reader = read(records(bytes, record), segment);
      REQUIRE(reader.status() == TlsHelloStatus::complete);
      CHECK(reader.hello().server_name->text() == "allowed.test");
      CHECK(reader.hello().alpn == std::vector<std::string>{"h2", "http/1.1"});
      CHECK(reader.hello().legacy_version == 0x0303);
      CHECK_FALSE(reader.hello().ech);
    }
  }
  std::string stream = records(bytes);
  for (std::size_t i = 0; i < stream.size(); ++i)
    CHECK(read(std::string_view(stream).substr(0, i)).status() == TlsHelloStatus::need_more);
}

TEST_CASE("what follows the record of the hello is not looked at") {
  TlsHelloReader reader = read(records(hello(sni("a.test"))) + "\x17\x03\x03 early data");
  CHECK(reader.status() == TlsHelloStatus::complete);
  reader.feed(std::as_bytes(std::span("more", 4)));
  CHECK(reader.status() == TlsHelloStatus::complete);
}

TEST_CASE("hellos without a name, and encrypted ones") {
  CHECK_FALSE(read(records(hello(""))).hello().server_name.has_value());
  CHECK(read(records(hello(""))).status() == TlsHelloStatus::complete);
  std::string old = "\x03\x01" + std::string(32, 'r') + vec8("") + vec16("\x00\x2f"s) + vec8(u8(0));
  CHECK(read(records(message(old))).status() == TlsHelloStatus::complete);
  for (std::size_t type : {0xfe0d, 0xffce}) {
    TlsHelloReader reader = read(records(hello(sni("a.test") + ext(type, "x"))));
    CHECK(reader.status() == TlsHelloStatus::complete);
    CHECK(reader.hello().ech);
  }
}

TEST_CASE("other protocols are known by their first bytes") {
  for (std::string_view stream :
       {"SSH-2.0-OpenSSH\r\n"sv, "GET / HTTP/1.1\r\n"sv, "\x80\x2e\x01\x03\x01"sv, "\0"sv,
        "\x15\x03\x01\x00\x02"sv, "\x17\x03\x03"sv, "\x16\x02"sv, "\x16\xfe\xff"sv, "\n"sv}) {
    CAPTURE(std::string(stream));
    CHECK(read(stream).status() == TlsHelloStatus::not_tls);
    CHECK(read(stream, 1).status() == TlsHelloStatus::not_tls);
  }
}

TEST_CASE("malformed hellos") {
  auto raw_sni = [](const std::string& list) { return records(hello(ext(0, list))); };
  auto entry = [](std::size_t type, const std::string& name) { return u8(type) + vec16(name); };
  const std::string bytes = hello(sni("a.test"));
  std::string server_hello = bytes;
  server_hello[0] = 2;
  std::string longer = bytes, shorter = bytes;
  ++longer[3];
  --shorter[3];
  struct Case {
    std::string_view what;
    std::string stream;
  };
  const Case cases[] = {
      {"ServerHello", records(server_hello)},
      {"two messages in one record", records(bytes + bytes)},
      {"a byte after the message", records(bytes + "x")},
      {"length shorter than the message", records(shorter)},
      {"length longer than the body", records(longer + "x")},
      {"empty record", "\x16\x03\x01\x00\x00"s},
      {"record above 2^14", "\x16\x03\x01\x40\x01"s},
      {"alert within", "\x16\x03\x01" + vec16(bytes.substr(0, 10)) + "\x15\x03\x01\x00\x02"s},
      {"SSLv2-like version in the second record",
       "\x16\x03\x01" + vec16(bytes.substr(0, 10)) + "\x16\x02"s},
      {"extension twice", records(hello(ext(5, "") + ext(5, "")))},
      {"server_name twice", records(hello(sni("a.test") + sni("evil.test")))},
      {"the same server_name twice", records(hello(sni("a.test") + sni("a.test")))},
      {"two names in it", raw_sni(vec16(entry(0, "a.test") + entry(0, "evil.test")))},
      {"a second name of another type", raw_sni(vec16(entry(0, "a.test") + entry(1, "x")))},
      {"another type", raw_sni(vec16(entry(1, "a.test")))},
      {"empty list", raw_sni(vec16(""))},
      {"empty extension", raw_sni("")},
      {"empty name", raw_sni(vec16(entry(0, "")))},
      {"bytes after the list", raw_sni(vec16(entry(0, "a.test")) + "x")},
      {"list longer than the extension", raw_sni(u16(20) + entry(0, "a.test"))},
      {"name longer than the list", raw_sni(vec16(u8(0) + u16(9) + "a.test"))},
      {"NUL", records(hello(sni("evil.test\0.wild.test"s)))},
      {"trailing dot", records(hello(sni("a.test.")))},
      {"space", records(hello(sni("a test")))},
      {"address", records(hello(sni("127.0.0.1")))},
      {"IPv6", records(hello(sni("::1")))},
      {"full-width", records(hello(sni("\xef\xbd\x81.test")))},
      {"double dot", records(hello(sni("a..test")))},
      {"extensions cut",
       records(message(body("").substr(0, body("").size() - 2) + u16(4) + "\x00\x00"s))},
      {"half an extension", records(hello("\x00\x05\x00"s))},
      {"bytes after the extensions", records(message(body("") + "x"))},
      {"odd cipher list",
       records(message("\x03\x03" + std::string(32, 'r') + vec8("") + vec16("abc") + vec8(u8(0))))},
      {"no cipher",
       records(message("\x03\x03" + std::string(32, 'r') + vec8("") + vec16("") + vec8(u8(0))))},
      {"no compression",
       records(message("\x03\x03" + std::string(32, 'r') + vec8("") + vec16("ab") + vec8("")))},
      {"long session id", records(message("\x03\x03" + std::string(32, 'r') +
                                          vec8(std::string(33, 's')) + vec16("ab") + vec8(u8(0))))},
      {"version 2",
       records(message("\x02\x00"s + std::string(32, 'r') + vec8("") + vec16("ab") + vec8(u8(0))))},
      {"empty protocol", records(hello(ext(16, vec16(vec8("")))))},
      {"no protocol", records(hello(ext(16, vec16(""))))},
      {"truncated body", records(message("\x03\x03"))},
      {"empty body", records(message(""))},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    for (std::size_t piece : {1, 7, 100000}) {
      TlsHelloReader reader = read(c.stream, piece);
      CHECK(reader.status() == TlsHelloStatus::malformed);
      CHECK_FALSE(reader.problem().empty());
    }
  }
}

TEST_CASE("limits") {
  std::string padding(60000, 'p');
  CHECK(read(records(hello(sni("a.test") + ext(21, padding)))).status() ==
        TlsHelloStatus::complete);
  CHECK(read(records(u8(1) + u24(kMaxClientHello) + "x")).status() == TlsHelloStatus::too_large);
  CHECK(read(records(u8(1) + u24(0xffffff) + "x")).status() == TlsHelloStatus::too_large);
  // One-byte records: the headers count too.
  CHECK(read(records(hello(ext(21, padding)), 1)).status() == TlsHelloStatus::too_large);
}
