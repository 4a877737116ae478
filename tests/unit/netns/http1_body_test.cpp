#include "netns/http1_body.h"

#include <doctest/doctest.h>

using namespace dirbox;
using namespace dirbox::netns;
using namespace std::string_view_literals;

namespace {

struct Outcome {
  std::string payload;
  std::size_t consumed = 0;
  bool ok = true;
  bool done = false;
  bool operator==(const Outcome&) const = default;
};

/// Feeds `bytes` in pieces of at most `piece` bytes.
Outcome read_all(const BodyFraming& framing, std::string_view bytes, std::size_t piece) {
  HttpBodyReader reader(framing);
  Outcome out;
  while (out.consumed < bytes.size() && !reader.done()) {
    auto step = reader.next(bytes.substr(out.consumed, piece));
    if (!step) {
      out.ok = false;
      return out;
    }
    REQUIRE(step->consumed > 0);
    out.consumed += step->consumed;
    out.payload += step->payload;
  }
  out.done = reader.done();
  return out;
}

constexpr BodyFraming kChunked{BodyKind::chunked, 0};

}  // namespace

TEST_CASE("bodies end where their framing says, for every split") {
  struct Case {
    BodyFraming framing;
    std::string_view bytes, payload;
    std::size_t consumed;
    bool done;
  };
  const Case cases[] = {
      {{BodyKind::length, 5}, "helloGET /", "hello", 5, true},
      {{BodyKind::length, 5}, "hel", "hel", 3, false},
      {kChunked, "5\r\nhello\r\n0\r\n\r\nGET /", "hello", 15, true},
      {kChunked, "5\r\nhello\r\n000A\r\n0123456789\r\n0\r\n\r\n", "hello0123456789", 33, true},
      {kChunked, "1;a=\"b\"\r\nx\r\n0;c\r\nX: y\r\nZ:\r\n\r\n", "x", 29, true},
      {kChunked, "5\r\nhel", "hel", 6, false},
      {kChunked, "0\r\n\r\n", "", 5, true},
      {kChunked, "0\r\n", "", 3, false},
      {kChunked, "2\r\n\r\n\r\n0\r\n\r\n", "\r\n", 12, true},
  };
  for (const Case& c : cases) {
    CAPTURE(c.bytes);
    for (std::size_t piece : {1, 2, 3, 7, 1000}) {
      CAPTURE(piece);
      Outcome out = read_all(c.framing, c.bytes, piece);
      CHECK(out == Outcome{std::string(c.payload), c.consumed, true, c.done});
    }
  }
  CHECK(HttpBodyReader({BodyKind::none, 0}).done());
  CHECK(HttpBodyReader({BodyKind::length, 0}).done());
  CHECK_FALSE(HttpBodyReader({BodyKind::length, 1}).may_end());
  HttpBodyReader until_close({BodyKind::until_close, 0});
  CHECK(until_close.may_end());
  CHECK(until_close.next("abc")->payload == "abc");
  CHECK_FALSE(until_close.done());
}

TEST_CASE("broken chunks are refused, for every split") {
  const std::string long_line = "1;" + std::string(kHttpMaxChunkLine, 'a') + "\r\nx\r\n0\r\n\r\n";
  const std::string long_trailer = "0\r\nX: " + std::string(kHttpMaxTrailers, 'a') + "\r\n\r\n";
  const std::string zeros = std::string(kHttpMaxChunkLine + 1, '0') + "\r\n\r\n";
  const std::string_view cases[] = {
      "\r\n",
      "\n",
      ";a\r\n",
      "g\r\n",
      "-1\r\n",
      "+1\r\n",
      "0x1\r\n",
      " 1\r\n",
      "1 \r\nx",
      "1\nx",
      "1\r\nxy\r\n",
      "1\r\nx\n",
      "1\r\nx\rx",
      "1\rx",
      "ffffffffffffffffff\r\n",
      "1000000000001\r\n",
      "1;a\0\r\n"sv,
      "1;a\nb\r\n",
      "1;a\rb",
      "0\r\n\n",
      "0\r\nX: y\n\r\n",
      "0\r\n X: y\r\n\r\n",
      "0\r\nX: y\r\n\tz\r\n\r\n",
      "0\r\nX\0\r\n\r\n"sv,
      "0\r\n\rx",
      "0\r\nX y\r\n\r\n",
      "0\r\n: y\r\n\r\n",
      "0\r\nX : y\r\n\r\n",
      "1\r\nx\r\n\r\n",
      "5,5\r\n",
      "1\t\r\n",
      "1.0\r\n",
      "\xd9\xa1\r\n",
      long_line,
      long_trailer,
      zeros,
  };
  for (std::string_view bytes : cases) {
    CAPTURE(std::string(bytes.substr(0, 40)));
    for (std::size_t piece : {1, 3, 100000}) {
      Outcome out = read_all(kChunked, bytes, piece);
      CHECK_FALSE(out.ok);
    }
  }
  CHECK(chunk_header(26) == "1a\r\n");
}
