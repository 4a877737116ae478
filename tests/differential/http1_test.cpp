#include "netns/http1.h"

#include <doctest/doctest.h>
#include <http_parser.h>

#include <random>

#include "netns/http1_body.h"

/// http-parser, which node used for years, as the other reader of HTTP/1: a message that we accept
/// is accepted by it, with the same target, fields, framing, body and end. It is the more lenient
/// of the two; nothing is said of what it accepts alone.
using namespace dirbox;
using namespace dirbox::netns;
using namespace std::literals;

namespace {

struct Theirs {
  std::string url, body;
  std::vector<HttpHeader> headers;
  bool in_value = true;
  bool head = false, complete = false;
  bool skip_body = false;
  http_parser parser{};
};

Theirs& of(http_parser* parser) { return *static_cast<Theirs*>(parser->data); }

int on_url(http_parser* parser, const char* at, std::size_t length) {
  of(parser).url.append(at, length);
  return 0;
}
int on_field(http_parser* parser, const char* at, std::size_t length) {
  Theirs& theirs = of(parser);
  if (theirs.head) return 0;  // a trailer
  if (theirs.in_value) theirs.headers.emplace_back();
  theirs.in_value = false;
  theirs.headers.back().name.append(at, length);
  return 0;
}
int on_value(http_parser* parser, const char* at, std::size_t length) {
  if (of(parser).head) return 0;
  of(parser).in_value = true;
  of(parser).headers.back().value.append(at, length);
  return 0;
}
int on_head(http_parser* parser) {
  Theirs& theirs = of(parser);
  theirs.head = true;
  for (HttpHeader& header : theirs.headers)  // it keeps white space at the end
    while (header.value.ends_with(' ') || header.value.ends_with('\t')) header.value.pop_back();
  // The caller is to know which answers have no body (RFC 9112 6.3).
  unsigned status = parser->type == HTTP_RESPONSE ? parser->status_code : 200;
  return theirs.skip_body || status < 200 || status == 204 || status == 304 ? 1 : 0;
}
int on_body(http_parser* parser, const char* at, std::size_t length) {
  of(parser).body.append(at, length);
  return 0;
}
int on_complete(http_parser* parser) {
  of(parser).complete = true;
  http_parser_pause(parser, 1);
  return 0;
}

Theirs ask_http_parser(const std::string& bytes, http_parser_type type, bool skip_body,
                       std::size_t& consumed) {
  Theirs theirs;
  theirs.skip_body = skip_body;
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  settings.on_url = on_url;
  settings.on_header_field = on_field;
  settings.on_header_value = on_value;
  settings.on_headers_complete = on_head;
  settings.on_body = on_body;
  settings.on_message_complete = on_complete;
  http_parser_init(&theirs.parser, type);
  theirs.parser.data = &theirs;
  consumed = http_parser_execute(&theirs.parser, &settings, bytes.data(), bytes.size());
  return theirs;
}

/// Ours: head, then body until its end, an error, or the end of `bytes`.
struct Body {
  std::string payload;
  std::size_t consumed = 0;
  bool ok = true, done = false;
};
Body read_body(const BodyFraming& framing, std::string_view bytes) {
  HttpBodyReader reader(framing);
  Body body;
  while (!bytes.empty() && !reader.done()) {
    auto step = reader.next(bytes);
    if (!step) {
      body.ok = false;
      return body;
    }
    body.payload += step->payload;
    body.consumed += step->consumed;
    bytes.remove_prefix(step->consumed);
  }
  body.done = reader.done();
  return body;
}

std::optional<std::size_t> head_length(std::string_view bytes) {
  auto length = HttpHeadScanner().scan(bytes);
  return length ? *length : std::nullopt;
}

/// "host:port" of the target as http-parser's URL parser splits it.
std::string authority_of(const std::string& url, bool connect) {
  http_parser_url parsed;
  http_parser_url_init(&parsed);
  if (http_parser_parse_url(url.data(), url.size(), connect, &parsed) != 0) return "?";
  auto part = [&](int field) {
    return url.substr(parsed.field_data[field].off, parsed.field_data[field].len);
  };
  std::string host = part(UF_HOST), port = part(UF_PORT);
  if (parsed.field_set & (1 << UF_USERINFO)) return "?";
  if (host.find(':') != std::string::npos) host = "[" + host + "]";
  auto canonical = parse_host(host);
  if (!canonical) return "?";
  return host_text(*canonical) + (port.empty() ? "" : ":" + port);
}

/// What it refuses and the RFC allows: methods beyond its list, a tab around a length.
bool is_peculiar(http_errno error, const std::string& bytes) {
  return error == HPE_INVALID_METHOD ||
         (error == HPE_INVALID_CONTENT_LENGTH && bytes.find('\t') != std::string::npos);
}

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}
  unsigned below(std::size_t n) { return static_cast<unsigned>(random_() % n); }
  template <std::size_t N>
  std::string pick(const char* const (&list)[N]) {
    return list[below(N)];
  }

  std::string request() {
    static const char* const kMethods[] = {"GET",     "POST",   "PUT",     "HEAD",
                                           "OPTIONS", "DELETE", "CONNECT", "PATCH"};
    static const char* const kHosts[] = {
        "a.test",    "A.Test",   "a.test.",  "a.test:80", "a.test:443", "[::1]:443", "127.0.0.1",
        "evil.test", "a.test:0", "u@a.test", "127.1",     "a..test",    ""};
    static const char* const kPaths[] = {"/",      "/p?q=1", "//evil.test/", "?q",   "",
                                         "/a%20b", "/|{}\"", "/#f",          "/\\x", "*"};
    static const char* const kVersions[] = {"HTTP/1.1", "HTTP/1.1", "HTTP/1.1",
                                            "HTTP/1.0", "HTTP/2.0", "HTTP/1.2"};
    std::string method = pick(kMethods), host = pick(kHosts), target;
    if (method == "CONNECT" && below(8))
      target = host;
    else
      target = (below(2) ? "" : (below(8) ? "http://" : "https://") + host) + pick(kPaths);
    return method + " " + target + " " + pick(kVersions) +
           "\r\nHost: " + (below(6) ? host : pick(kHosts)) + "\r\n" + fields() + "\r\n" + body();
  }
  std::string response() {
    static const char* const kLines[] = {
        "HTTP/1.1 200 OK",       "HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 100 Continue", "HTTP/1.0 200 OK",         "HTTP/1.1 404",
        "HTTP/1.1 500 ",         "HTTP/1.1 2000 OK",        "HTTP/1.1 20 OK"};
    return pick(kLines) + "\r\n" + fields() + "\r\n" + body();
  }
  void damage(std::string& bytes) {
    static const char* const kInserts[] = {"\r\n",
                                           "\n",
                                           "\r",
                                           " ",
                                           "\t",
                                           ":",
                                           ",",
                                           ";",
                                           "0",
                                           "chunked",
                                           "\r\n ",
                                           "\x80",
                                           "\x01",
                                           "5\r\nhello\r\n0\r\n\r\n",
                                           "Content-Length: 5\r\n",
                                           "Host: evil.test\r\n"};
    for (unsigned n = below(3); n > 0; --n) {
      std::size_t at = below(bytes.size());
      switch (below(3)) {
        case 0:
          bytes[at] = static_cast<char>(random_());
          break;
        case 1:
          bytes.erase(at, 1 + below(3));
          break;
        case 2:
          bytes.insert(at, pick(kInserts));
          break;
      }
      if (bytes.empty()) bytes = "x";
    }
  }

 private:
  std::string fields() {
    static const char* const kFields[] = {"Content-Length: 5",
                                          "Content-Length: 0",
                                          "Content-Length: 05",
                                          "content-length:  5 ",
                                          "Content-Length: 5, 5",
                                          "Transfer-Encoding: chunked",
                                          "transfer-encoding: CHUNKED",
                                          "Transfer-Encoding: gzip, chunked",
                                          "Transfer-Encoding: identity",
                                          "Connection: close",
                                          "Connection: keep-alive",
                                          "Connection: x, close",
                                          "X: y",
                                          "X:",
                                          "X-Long: a b\tc",
                                          "Accept: */*",
                                          "X : y",
                                          "Expect: 100-continue",
                                          "Trailer: X"};
    std::string out;
    for (unsigned n = below(4); n > 0; --n) out += pick(kFields) + "\r\n";
    return out;
  }
  std::string body() {
    static const char* const kBodies[] = {"",
                                          "hello",
                                          "hello world",
                                          "5\r\nhello\r\n0\r\n\r\n",
                                          "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
                                          "A\r\n0123456789\r\n000\r\n\r\nGET / HTTP/1.1\r\n",
                                          "5 \r\nhello\r\n",
                                          "5\nhello\n",
                                          "0\r\n\r\nGET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
                                          "ffffffffffffffff1\r\n"};
    return pick(kBodies);
  }
  std::mt19937 random_;
};

/// What the server gets, as http-parser reads it.
void check_rewritten(const HttpRequest& request) {
  std::size_t consumed = 0;
  std::string head = rewrite_http_request(request, {request.keep_alive, false});
  Theirs theirs = ask_http_parser(head, HTTP_REQUEST, false, consumed);
  CAPTURE(head);
  REQUIRE(theirs.head);
  CHECK(request.method == http_method_str(static_cast<http_method>(theirs.parser.method)));
  CHECK(theirs.url == request.path);
  REQUIRE_FALSE(theirs.headers.empty());
  CHECK(theirs.headers[0] ==
        HttpHeader{"Host", host_port_text(request.target->host, request.port_or(80), 80)});
  CHECK(((theirs.parser.flags & F_CHUNKED) != 0) == (request.body.kind == BodyKind::chunked));
  if (request.body.kind == BodyKind::length)
    CHECK(theirs.parser.content_length == request.body.length);
  CHECK((http_should_keep_alive(&theirs.parser) != 0) == request.keep_alive);
}

}  // namespace

TEST_CASE("requests that we accept are the same to http-parser") {
  Generator generator(7);
  std::size_t accepted = 0, with_body = 0;
  for (int round = 0; round < 60000; ++round) {
    std::string bytes = generator.request();
    if (round % 2) generator.damage(bytes);
    auto length = head_length(bytes);
    if (!length) continue;
    auto ours = parse_http_request(std::string_view(bytes).substr(0, *length));
    if (!ours) continue;
    std::size_t consumed = 0;
    Theirs theirs = ask_http_parser(bytes, HTTP_REQUEST, false, consumed);
    const http_parser& parser = theirs.parser;
    auto error = HTTP_PARSER_ERRNO(&parser);
    if (is_peculiar(error, bytes)) continue;
    ++accepted;
    CAPTURE(bytes);
    CAPTURE(std::string(http_errno_name(error)));
    REQUIRE(theirs.head);
    CHECK(ours->method == http_method_str(static_cast<http_method>(parser.method)));
    CHECK(parser.http_major == 1);
    CHECK(parser.http_minor == ours->minor_version);
    CHECK(theirs.headers == ours->headers);
    bool connect = ours->form == HttpTargetForm::authority;
    if (connect || ours->form == HttpTargetForm::absolute)
      CHECK(authority_of(theirs.url, connect) ==
            host_port_text(ours->target->host, ours->port_or(0),
                           ours->target->port ? 0 : ours->port_or(0)));
    else
      CHECK(theirs.url == ours->path);
    CHECK(((parser.flags & F_CHUNKED) != 0) == (ours->body.kind == BodyKind::chunked));
    if (connect) continue;  // a tunnel: it stops here
    if (ours->target) check_rewritten(*ours);
    Body body = read_body(ours->body, std::string_view(bytes).substr(*length));
    if (!body.ok) continue;
    with_body += !body.payload.empty();
    CHECK(theirs.complete == body.done);
    CHECK(theirs.body == body.payload);
    if (body.done) CHECK(consumed == *length + body.consumed);
  }
  MESSAGE("accepted by both: " << accepted << ", with a body: " << with_body);
  CHECK(accepted > 5000);
  CHECK(with_body > 500);
}

TEST_CASE("responses that we accept are the same to http-parser") {
  Generator generator(11);
  std::size_t accepted = 0;
  for (int round = 0; round < 40000; ++round) {
    std::string bytes = generator.response();
    if (round % 2) generator.damage(bytes);
    auto length = head_length(bytes);
    if (!length) continue;
    bool head = round % 3 == 0;
    auto ours =
        parse_http_response(std::string_view(bytes).substr(0, *length), head ? "HEAD" : "GET");
    if (!ours) continue;
    std::size_t consumed = 0;
    Theirs theirs = ask_http_parser(bytes, HTTP_RESPONSE, head, consumed);
    if (is_peculiar(HTTP_PARSER_ERRNO(&theirs.parser), bytes)) continue;
    ++accepted;
    CAPTURE(bytes);
    REQUIRE(theirs.head);
    CHECK(static_cast<int>(theirs.parser.status_code) == ours->status);
    CHECK(theirs.headers == ours->headers);
    Body body = read_body(ours->body, std::string_view(bytes).substr(*length));
    if (!body.ok) continue;
    CHECK(theirs.body == body.payload);
    if (ours->body.kind != BodyKind::until_close) CHECK(theirs.complete == body.done);
  }
  MESSAGE("accepted by both: " << accepted);
  CHECK(accepted > 5000);
}
