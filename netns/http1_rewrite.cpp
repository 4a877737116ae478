#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "netns/http1_syntax.h"

namespace dirbox::netns {

using namespace http_syntax;

namespace {

/// Fields of one connection (RFC 9110 7.6.1, and those of RFC 2616 13.5.1 that are still sent),
/// and fields that are written afresh.
constexpr std::array<std::string_view, 11> kDropped = {
    "connection", "keep-alive",        "te",
    "trailer",    "transfer-encoding", "upgrade",
    "host",       "content-length",    "http2-settings",
    "trailers",   "proxy-connection"};

bool is_dropped(std::string_view name, const Connection& connection) {
  constexpr std::string_view kProxy = "proxy-";
  if (equals_ignoring_case(name.substr(0, kProxy.size()), kProxy)) return true;
  return connection.names(name) ||
         std::any_of(kDropped.begin(), kDropped.end(),
                     [&](std::string_view field) { return equals_ignoring_case(name, field); });
}

/// What denials carry (denial.cpp): a server does not speak in the name of the sandbox.
bool is_own(std::string_view name) {
  constexpr std::string_view kOwn = "x-dirbox-";
  return equals_ignoring_case(name.substr(0, kOwn.size()), kOwn);
}

void append_headers(std::string& out, const std::vector<HttpHeader>& headers) {
  // The parser has passed these headers; if it had not, none would be safe to send.
  auto connection = parse_connection(headers);
  if (!connection) return;
  for (const HttpHeader& header : headers)
    if (!is_dropped(header.name, *connection) && !is_own(header.name))
      out += header.name + ": " + header.value + "\r\n";
}

void append_framing(std::string& out, const BodyFraming& body) {
  if (body.kind == BodyKind::chunked) out += "Transfer-Encoding: chunked\r\n";
  if (body.kind == BodyKind::length) out += fmt::format("Content-Length: {}\r\n", body.length);
}

/// h2c and the like would carry requests that nobody looks at.
bool is_websocket(std::string_view upgrade) { return equals_ignoring_case(upgrade, "websocket"); }

void append_connection(std::string& out, bool keep_alive, bool websocket) {
  if (websocket)
    out += "Connection: upgrade\r\nUpgrade: websocket\r\n";
  else
    out += keep_alive ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
}

}  // namespace

std::string rewrite_http_request(const HttpRequest& request, const HttpRewrite& rewrite) {
  std::string out =
      fmt::format("{} {} HTTP/1.{}\r\n", request.method, request.path, request.minor_version);
  if (request.target)
    out += "Host: " + host_port_text(request.target->host, request.port_or(80), 80) + "\r\n";
  append_headers(out, request.headers);
  append_framing(out, request.body);
  append_connection(out, rewrite.keep_alive,
                    rewrite.allow_upgrade && is_websocket(request.upgrade));
  return out + "\r\n";
}

std::string rewrite_http_response(const HttpResponse& response, const HttpRewrite& rewrite) {
  std::string out =
      fmt::format("HTTP/1.{} {} {}\r\n", response.minor_version, response.status, response.reason);
  append_headers(out, response.headers);
  append_framing(out, response.body);
  // Without a body the length tells about the resource (HEAD, 304): it is passed on.
  const std::string* length = response.header("content-length");
  if (response.body.kind == BodyKind::none && length && response.status >= 200 &&
      response.status != 204)
    out += "Content-Length: " + *length + "\r\n";
  if (response.is_interim()) return out + "\r\n";
  bool keep_alive = rewrite.keep_alive && response.body.kind != BodyKind::until_close;
  append_connection(out, keep_alive, rewrite.allow_upgrade && is_websocket(response.upgrade));
  return out + "\r\n";
}

}  // namespace dirbox::netns
