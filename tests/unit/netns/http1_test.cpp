#include "netns/http1.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace dirbox;
using namespace dirbox::netns;
using namespace std::string_view_literals;

namespace {

/// What a proxy does: scan, then parse exactly the head. 0 for accepted, -1 for unfinished.
int status_of(std::string_view bytes) {
  HttpHeadScanner scanner;
  auto length = scanner.scan(bytes);
  if (!length) return http_status_of(length.error());
  if (!*length) return -1;
  auto request = parse_http_request(bytes.substr(0, **length));
  return request ? 0 : http_status_of(request.error());
}

HttpRequest request(std::string_view head) {
  auto parsed = parse_http_request(head);
  if (!parsed) FAIL(parsed.error().message());
  return std::move(*parsed);
}

HttpResponse response(std::string_view head, std::string_view method = "GET") {
  auto parsed = parse_http_response(head, method);
  if (!parsed) FAIL(parsed.error().message());
  return std::move(*parsed);
}

std::string with(std::string_view line) {
  return "GET / HTTP/1.1\r\nHost: a.test\r\n" + std::string(line) + "\r\n\r\n";
}

}  // namespace

TEST_CASE("requests in each form") {
  struct Case {
    std::string_view head;
    HttpTargetForm form;
    std::string_view authority, path;
  };
  const Case cases[] = {
      {"GET /x?y HTTP/1.1\r\nHost: A.Test.\r\n\r\n", HttpTargetForm::origin, "a.test:80", "/x?y"},
      {"GET //evil.test/ HTTP/1.1\r\nHost: a.test:81\r\n\r\n", HttpTargetForm::origin, "a.test:81",
       "//evil.test/"},
      {"GET http://a.test HTTP/1.1\r\nhost:a.test\r\n\r\n", HttpTargetForm::absolute, "a.test:80",
       "/"},
      {"GET HTTP://A.TEST:80/p HTTP/1.1\r\nHOST:\ta.test \r\n\r\n", HttpTargetForm::absolute,
       "a.test:80", "/p"},
      {"GET http://a.test?q HTTP/1.0\r\n\r\n", HttpTargetForm::absolute, "a.test:80", "/?q"},
      {"GET http://[::1]:8080/ HTTP/1.1\r\nHost: [0:0::1]:8080\r\n\r\n", HttpTargetForm::absolute,
       "[::1]:8080", "/"},
      {"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", HttpTargetForm::authority,
       "a.test:443", ""},
      {"CONNECT a.test:443 HTTP/1.1\r\nHost: A.test\r\n\r\n", HttpTargetForm::authority,
       "a.test:443", ""},
      {"CONNECT a.test:443 HTTP/1.0\r\n\r\n", HttpTargetForm::authority, "a.test:443", ""},
      {"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", HttpTargetForm::asterisk, "a.test:80", "*"},
      {"OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", HttpTargetForm::absolute,
       "a.test:80", "*"},
      {"OPTIONS http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", HttpTargetForm::absolute,
       "a.test:80", "/"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.head);
    HttpRequest parsed = request(c.head);
    CHECK(parsed.form == c.form);
    REQUIRE(parsed.target.has_value());
    CHECK(host_port_text(parsed.target->host, parsed.port_or(80)) == c.authority);
    CHECK(parsed.path == c.path);
  }
  CHECK_FALSE(request("GET / HTTP/1.0\r\n\r\n").target.has_value());
}

TEST_CASE("request lines that are refused") {
  struct Case {
    std::string_view line;
    int status;
  };
  const Case cases[] = {
      {"GET / HTTP/2.0", 505},
      {"GET / HTTP/1.2", 505},
      {"GET / HTTP/0.9", 505},
      {"GET / http/1.1", 505},
      {"GET / HTTP/1.10", 505},
      {"GET / HTTP/01.1", 505},
      {"GET / HTTP/1", 505},
      {"PRI * HTTP/2.0", 505},
      {"GET / ", 505},
      {"GET /", 400},
      {"GET", 400},
      {" GET / HTTP/1.1", 400},
      {"GET  / HTTP/1.1", 400},
      {"GET /  HTTP/1.1", 400},
      {"GET / HTTP/1.1 ", 505},
      {"GET\t/\tHTTP/1.1", 400},
      {"GET /a b HTTP/1.1", 400},
      {"GET /a\tb HTTP/1.1", 400},
      {"G(T / HTTP/1.1", 400},
      {"GET: / HTTP/1.1", 400},
      {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1", 400},
      {"GET * HTTP/1.1", 400},
      {"GET x HTTP/1.1", 400},
      {"GET a.test:80 HTTP/1.1", 400},
      {"GET /# HTTP/1.1", 400},
      {"GET http://a.test/# HTTP/1.1", 400},
      {"GET /\x80 HTTP/1.1", 400},
      {"GET https://a.test/ HTTP/1.1", 501},
      {"GET ftp://a.test/ HTTP/1.1", 501},
      {"GET ws://a.test/ HTTP/1.1", 501},
      {"GET file:///etc/passwd HTTP/1.1", 501},
      {"GET gopher://a.test/ HTTP/1.1", 501},
      {"GET ://a.test/ HTTP/1.1", 400},
      {"GET http:/a.test/ HTTP/1.1", 400},
      {"GET http:a.test/ HTTP/1.1", 400},
      {"GET http:///x HTTP/1.1", 400},
      {"GET http:// HTTP/1.1", 400},
      {"GET ht%74p://a.test/ HTTP/1.1", 400},
      {"GET http://u@a.test/ HTTP/1.1", 400},
      {"GET http://u:p@a.test/ HTTP/1.1", 400},
      {"GET http://@a.test/ HTTP/1.1", 400},
      {"GET http://a.test\\@evil.test/ HTTP/1.1", 400},
      {"GET http://a.test\\.evil.test/ HTTP/1.1", 400},
      {"GET http://a.test:/ HTTP/1.1", 400},
      {"GET http://a.test:0/ HTTP/1.1", 400},
      {"GET http://a.test:65616/ HTTP/1.1", 400},
      {"GET http://a.test:+80/ HTTP/1.1", 400},
      {"GET http://a.test:80:80/ HTTP/1.1", 400},
      {"GET http://0x7f.1/ HTTP/1.1", 400},
      {"GET http://127.1/ HTTP/1.1", 400},
      {"GET http://[::1%25lo]/ HTTP/1.1", 400},
      {"GET http://evil%2etest/ HTTP/1.1", 400},
      {"GET http://evil%00.a.test/ HTTP/1.1", 400},
      {"CONNECT a.test HTTP/1.1", 400},
      {"CONNECT a.test: HTTP/1.1", 400},
      {"CONNECT a.test:0 HTTP/1.1", 400},
      {"CONNECT a.test:65979 HTTP/1.1", 400},
      {"CONNECT a.test:-1 HTTP/1.1", 400},
      {"CONNECT a.test:443abc HTTP/1.1", 400},
      {"CONNECT a.test:443:443 HTTP/1.1", 400},
      {"CONNECT u@a.test:443 HTTP/1.1", 400},
      {"CONNECT /a.test:443 HTTP/1.1", 400},
      {"CONNECT http://a.test:443 HTTP/1.1", 400},
      {"CONNECT a.test:443/x HTTP/1.1", 400},
      {"CONNECT * HTTP/1.1", 400},
      {"connect a.test:443 HTTP/1.1", 400},
      {"CONNECT 127.1:7001 HTTP/1.1", 400},
      {"CONNECT 0x7f000001:7001 HTTP/1.1", 400},
      {"CONNECT 0:7001 HTTP/1.1", 400},
      {"CONNECT 0177.0.0.1:7001 HTTP/1.1", 400},
      {"CONNECT 0x7f.0.0.1:7001 HTTP/1.1", 400},
      {"CONNECT 127.0.0.1.:7001 HTTP/1.1", 400},
      {"CONNECT [::1%25lo]:7001 HTTP/1.1", 400},
      {"CONNECT ::1:7001 HTTP/1.1", 400},
      {"CONNECT evil.test\0.wild.test:443 HTTP/1.1"sv, 400},
      {"CONNECT a.test:443\tx HTTP/1.1", 400},
      {"CONNECT a .test:443 HTTP/1.1", 400},
      {"GET /\0 HTTP/1.1"sv, 400},
      {"GET /\x1b[2J HTTP/1.1", 400},
      {"GET /\x7f HTTP/1.1", 400},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.line));
    CHECK(status_of(std::string(c.line) + "\r\nHost: a.test\r\n\r\n") == c.status);
    CHECK(status_of(std::string(c.line) + "\r\n\r\n") != 0);
  }
}

TEST_CASE("Host is there once, well-formed, and equals the target") {
  const std::string_view bad[] = {
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost:\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test\r\nhOST: evil.test\r\n\r\n",
      "GET / HTTP/1.0\r\nHost: a.test\r\nHost: evil.test\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test, evil.test\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test evil.test\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: u@a.test\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: http://a.test\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test:\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: 127.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a..test\r\n\r\n",
      "GET http://evil.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
      "GET http://a.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
      "GET http://a.test/ HTTP/1.1\r\nHost: a.test:81\r\n\r\n",
      "GET http://a.test:81/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
      "GET http://a.test/ HTTP/1.0\r\nHost: evil.test\r\n\r\n",
      "GET http://a.test/ HTTP/1.1\r\n\r\n",
      "CONNECT a.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
      "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:80\r\n\r\n",
      "CONNECT a.test:443 HTTP/1.1\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\n\r\n",
  };
  for (std::string_view head : bad) {
    CAPTURE(head);
    CHECK(status_of(head) == 400);
  }
}

TEST_CASE("header lines and line ends are strict") {
  const std::string_view bad[] = {
      "X : y",
      "X\t: y",
      " X: y",
      "\tX: y",
      "X",
      ": y",
      "X Y: z",
      "X(: y",
      "X\x80: y",
      "X:\r\n folded",
      "X: a\r\n\tfolded",
      "X: a\rb",
      "X: a\nb",
      "X: a\0b"sv,
      "X: a\x01",
      "X: a\x7f",
      "X: a\x0b",
      "X: a\n",
      "X: a\r",
      "\nX: a",
      "Transfer-Encoding : chunked",
      "Content-Length : 1",
  };
  for (std::string_view line : bad) {
    CAPTURE(std::string(line));
    CHECK(status_of(with(line)) == 400);
  }
  for (std::string_view bytes :
       {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"sv, "\nGET / HTTP/1.1\r\n"sv,
        "GET / HTTP/1.1\nHost: a\n\n"sv, "GET / HTTP/1.1\r\r\n"sv, "\x16\x03\x01\x02\x00"sv,
        "\x05\x01\x00"sv, "\0"sv, "\r\r"sv}) {
    CAPTURE(std::string(bytes));
    CHECK(status_of(bytes) == 400);
  }
  HttpRequest parsed = request(with("X:\t a \t b\t \r\nY:\r\nZ: \xff"));
  CHECK(*parsed.header("x") == "a \t b");
  CHECK(parsed.header("Y")->empty());
  CHECK(*parsed.header("z") == "\xff");
  CHECK(parsed.header("w") == nullptr);
}

TEST_CASE("framing that two parsers could read differently is refused") {
  struct Case {
    std::string_view lines;
    int status;
  };
  const Case bad[] = {
      {"Content-Length: 5\r\nTransfer-Encoding: chunked", 400},
      {"Transfer-Encoding: chunked\r\nContent-Length: 5", 400},
      {"Content-Length: 5\r\nContent-Length: 5", 400},
      {"Content-Length: 5\r\ncontent-length: 6", 400},
      {"Content-Length: 5, 5", 400},
      {"Content-Length: +5", 400},
      {"Content-Length: -1", 400},
      {"Content-Length: 5 5", 400},
      {"Content-Length: 0x5", 400},
      {"Content-Length: 5\t", 0},
      {"Content-Length:", 400},
      {"Content-Length: 5a", 400},
      {"Content-Length: 18446744073709551617", 400},
      {"Content-Length: 9999999999999999999", 400},
      {"Content-Length: 999999999999999999", 0},
      {"Content-Length: 1e1", 400},
      {"Content-Length: \"5\"", 400},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400},
      {"Transfer-Encoding: chunked, chunked", 501},
      {"Transfer-Encoding: gzip, chunked", 501},
      {"Transfer-Encoding: chunked, identity", 501},
      {"Transfer-Encoding: identity", 501},
      {"Transfer-Encoding: xchunked", 501},
      {"Transfer-Encoding: chunked;a=b", 501},
      {"Transfer-Encoding:", 501},
      {"Transfer-Encoding: \"chunked\"", 501},
      {"Transfer-Encoding: chunked,", 501},
      {"Transfer-Encoding: \x0b"
       "chunked",
       400},
      {"Transfer-Encoding: CHUNKED", 0},
      {"Transfer-Encoding:\tchunked ", 0},
      {"Transfer-Encoding:\r\n chunked", 400},
      {"Connection: a b", 400},
      {"Connection: \"close\"", 400},
  };
  for (const Case& c : bad) {
    CAPTURE(c.lines);
    CHECK(status_of(with(c.lines)) == c.status);
  }
  CHECK(status_of("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400);
  CHECK(status_of("CONNECT a:1 HTTP/1.0\r\nContent-Length: 3\r\n\r\n") == 400);
  CHECK(status_of("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n") ==
        400);
  CHECK(request(with("Content-Length: 17")).body == BodyFraming{BodyKind::length, 17});
  CHECK(request(with("Transfer-Encoding: Chunked")).body == BodyFraming{BodyKind::chunked, 0});
  CHECK(request(with("X: y")).body == BodyFraming{});
}

TEST_CASE("limits") {
  std::string line(kHttpMaxStartLine, 'a');
  CHECK(status_of("GET /" + line) == 414);
  CHECK(status_of("GET /" + line + " HTTP/1.1\r\nHost: a.test\r\n\r\n") == 414);
  CHECK(status_of("GET /" + line.substr(100) + " HTTP/1.1\r\nHost: a.test\r\n\r\n") == 0);
  CHECK(status_of(with("X: " + std::string(kHttpMaxHead, 'a'))) == 431);
  CHECK(status_of(with("X: " + std::string(kHttpMaxHead - 200, 'a'))) == 0);
  std::string many;
  for (std::size_t i = 1; i < kHttpMaxHeaders; ++i) many += "X: y\r\n";
  CHECK(status_of("GET / HTTP/1.1\r\nHost: a.test\r\n" + many + "\r\n") == 0);
  CHECK(status_of("GET / HTTP/1.1\r\nHost: a.test\r\nX: y\r\n" + many + "\r\n") == 431);
}

TEST_CASE("the scanner gives the same for every split") {
  const std::string bytes = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\nGET /next";
  const std::size_t length = bytes.size() - 9;
  HttpHeadScanner byte_by_byte;
  for (std::size_t i = 0; i <= length; ++i) {
    auto found = byte_by_byte.scan(std::string_view(bytes).substr(0, i));
    REQUIRE(found);
    CHECK(found->has_value() == (i == length));
  }
  CHECK(HttpHeadScanner().scan(bytes)->value() == length);
  CHECK_FALSE(parse_http_request(bytes).has_value());
  CHECK_FALSE(parse_http_request(std::string_view(bytes).substr(0, length - 1)).has_value());
}

TEST_CASE("persistence and upgrade are as the client says") {
  CHECK(request(with("X: y")).keep_alive);
  CHECK_FALSE(request(with("Connection: x, Close")).keep_alive);
  CHECK_FALSE(request(with("Connection: keep-alive\r\nConnection: close")).keep_alive);
  CHECK_FALSE(request("GET / HTTP/1.0\r\n\r\n").keep_alive);
  CHECK(request("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
  CHECK(request(with("Connection: Upgrade\r\nUpgrade: websocket")).upgrade == "websocket");
  CHECK(request(with("Upgrade: websocket")).upgrade.empty());
}

TEST_CASE("no protocol but websocket passes an upgrade") {
  HttpRequest parsed =
      request(with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x"));
  CHECK(rewrite_http_request(parsed, {true, true}) ==
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
}

TEST_CASE("the head for the server carries nothing of the hop") {
  HttpRequest parsed = request(
      "POST http://A.test/p?q HTTP/1.1\r\nHost: a.TEST:80\r\nConnection: close, X-Hop, "
      "Upgrade\r\nX-Hop: 1\r\n"
      "Keep-Alive: 3\r\nProxy-Authorization: Basic eA==\r\nProxy-Connection: "
      "keep-alive\r\nProxy-X: 1\r\nTE: trailers\r\n"
      "Trailer: X\r\nUpgrade: WebSocket\r\nHTTP2-Settings: x\r\nTransfer-Encoding: "
      "chunked\r\nX-Stays: "
      "1\r\n"
      "Expect: 100-continue\r\n\r\n");
  CHECK(rewrite_http_request(parsed, {}) ==
        "POST /p?q HTTP/1.1\r\nHost: a.test\r\nX-Stays: 1\r\nExpect: 100-continue\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
  CHECK(rewrite_http_request(parsed, {true, true}) ==
        "POST /p?q HTTP/1.1\r\nHost: a.test\r\nX-Stays: 1\r\nExpect: 100-continue\r\n"
        "Transfer-Encoding: chunked\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  // RFC 9110 7.6.1: Connection must not name these, and cannot remove them.
  CHECK(rewrite_http_request(
            request("PUT http://a.test:81/ HTTP/1.1\r\nConnection: Host, Content-Length\r\n"
                    "Content-Length: 7\r\nHost: a.test:81\r\n\r\n"),
            {true, false}) ==
        "PUT / HTTP/1.1\r\nHost: a.test:81\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n");
}

TEST_CASE("responses end where they end") {
  struct Case {
    std::string_view head, method;
    BodyKind kind;
    std::uint64_t length;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", BodyKind::length, 5},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", BodyKind::none, 0},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", BodyKind::chunked, 0},
      {"HTTP/1.1 200\r\n\r\n", "GET", BodyKind::until_close, 0},
      {"HTTP/1.0 404 Not \xff Found\r\n\r\n", "GET", BodyKind::until_close, 0},
      {"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "GET", BodyKind::none, 0},
      {"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", "GET", BodyKind::none, 0},
      {"HTTP/1.1 100 Continue\r\n\r\n", "POST", BodyKind::none, 0},
      {"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "GET", BodyKind::none,
       0},
      {"HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n", "GET", BodyKind::length, 0},
      {"HTTP/1.1 407 Denied\r\nContent-Length: 1\r\n\r\n", "CONNECT", BodyKind::length, 1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.head);
    CHECK(response(c.head, c.method).body == BodyFraming{c.kind, c.length});
  }
  for (std::string_view head :
       {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 099 X\r\n\r\n", "HTTP/1.1 600 X\r\n\r\n",
        "HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\n\n", "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200\tOK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "", "H"}) {
    CAPTURE(head);
    CHECK_FALSE(parse_http_response(head, "GET").has_value());
  }
  CHECK_FALSE(parse_http_response("HTTP/1.1 200 OK\r\n\r\n", "CONNECT").has_value());
}

TEST_CASE("the head for the client") {
  CHECK(rewrite_http_response(
            response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x\r\nX: 1\r\n"
                     "Keep-Alive: 3\r\nProxy-Authenticate: Basic\r\nSet-Cookie: a\r\n"
                     "x-Dirbox-Fix: --allow evil.test\r\nX-Dirbo: b\r\n\r\n"),
            {true, false}) ==
        "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX-Dirbo: b\r\nContent-Length: 5\r\n"
        "Connection: keep-alive\r\n\r\n");
  CHECK(rewrite_http_response(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"),
                              {false, false}) ==
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
  CHECK(rewrite_http_response(response("HTTP/1.1 200 OK\r\n\r\n"), {true, false}) ==
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  CHECK(rewrite_http_response(response("HTTP/1.1 100 Continue\r\n\r\n"), {true, false}) ==
        "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(rewrite_http_response(
            response("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
            {true, true}) ==
        "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
}

TEST_CASE("a head with as many fields as there may be is passed on with one of the proxy's own") {
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (std::size_t i = 1; i < kHttpMaxHeaders; ++i) head += "n: v\r\n";
  CHECK(status_of(head + "n: v\r\n\r\n") == 431);
  const std::string passed_on = rewrite_http_request(request(head + "\r\n"), {true, true});
  CHECK(passed_on.ends_with("n: v\r\nConnection: keep-alive\r\n\r\n"));
  CHECK(std::count(passed_on.begin(), passed_on.end(), '\n') == kHttpMaxHeaders + 3);
}
