#include "netns/http1.h"

#include "netns/http1_body.h"
#include "tests/fuzz/expect.h"

using namespace dirbox;
using namespace dirbox::netns;

namespace {

/// Scans in two pieces as in one.
std::optional<std::size_t> head_length(std::string_view bytes) {
  auto whole = HttpHeadScanner().scan(bytes);
  HttpHeadScanner scanner;
  auto first = scanner.scan(bytes.substr(0, bytes.size() / 2));
  if (first && !*first) {
    auto second = scanner.scan(bytes);
    expect(second.has_value() == whole.has_value());
    expect(!second || *second == *whole);
  } else {
    expect(first.has_value() == whole.has_value() && (!first || *first == *whole));
  }
  return whole ? *whole : std::nullopt;
}

/// A head at the limits passes them with Connection, which is written afresh.
bool is_at_the_limits(const std::vector<HttpHeader>& headers, const std::string& rewritten) {
  return headers.size() >= kHttpMaxHeaders || rewritten.size() > kHttpMaxHead;
}

void check_request(std::string_view head) {
  auto request = parse_http_request(head);
  if (!request || request->method == "CONNECT" || !request->target) return;
  std::string rewritten = rewrite_http_request(*request, {request->keep_alive, true});
  auto again = parse_http_request(rewritten);
  if (!again) return expect(is_at_the_limits(request->headers, rewritten));
  expect(again->method == request->method && again->path == request->path);
  expect(again->target->host == request->target->host &&
         again->port_or(80) == request->port_or(80));
  expect(again->body == request->body);
  expect(again->upgrade.empty() || again->upgrade == "websocket");
  expect(rewrite_http_request(*again, {again->keep_alive, true}) == rewritten);
  for (const char* gone :
       {"keep-alive", "te", "trailer", "proxy-authorization", "proxy-connection"})
    expect(again->header(gone) == nullptr);
}

void check_response(std::string_view head, std::string_view method) {
  auto response = parse_http_response(head, method);
  if (!response) return;
  std::string rewritten = rewrite_http_response(*response, {true, true});
  auto again = parse_http_response(rewritten, method);
  if (!again) return expect(is_at_the_limits(response->headers, rewritten));
  expect(again->status == response->status && again->body == response->body);
}

/// Body and rest in pieces of `piece` bytes: payload, and "!" at an error.
std::string read_body(const BodyFraming& framing, std::string_view bytes, std::size_t piece) {
  HttpBodyReader reader(framing);
  std::string payload;
  while (!bytes.empty() && !reader.done()) {
    auto step = reader.next(bytes.substr(0, piece));
    if (!step) return payload + "!";
    expect(step->consumed > 0 && step->consumed <= bytes.size());
    payload += step->payload;
    bytes.remove_prefix(step->consumed);
  }
  return payload;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes = text_of(data, size);
  auto length = head_length(bytes);
  if (length) {
    check_request(bytes.substr(0, *length));
    for (std::string_view method : {"GET", "HEAD", "CONNECT"})
      check_response(bytes.substr(0, *length), method);
    bytes.remove_prefix(*length);
  }
  for (BodyFraming framing : {BodyFraming{BodyKind::chunked, 0}, BodyFraming{BodyKind::length, 9}})
    expect(read_body(framing, bytes, 1) == read_body(framing, bytes, 100000));
  return 0;
}
