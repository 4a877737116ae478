#include "netns/http1.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "launcher/base/text.h"
#include "netns/http1_syntax.h"

namespace dirbox::netns {

using namespace http_syntax;

int http_status_of(const Error& error) {
  switch (error.err) {
    case ENAMETOOLONG:
      return 414;
    case EMSGSIZE:
      return 431;
    case EOPNOTSUPP:
      return 501;
    case EPROTONOSUPPORT:
      return 505;
    default:
      return 400;
  }
}

Result<std::optional<std::size_t>> HttpHeadScanner::scan(std::string_view buffer) {
  for (; position_ < buffer.size(); ++position_) {
    if (position_ >= kHttpMaxHead) return refuse(EMSGSIZE, "more than 64 KiB of header fields");
    char c = buffer[position_];
    bool after_cr = position_ > line_start_ && buffer[position_ - 1] == '\r';
    if (after_cr != (c == '\n'))
      return refuse(EBADMSG, after_cr ? "a CR without LF" : "an LF without CR");
    if (c != '\n') {
      if (is_control(c) && c != '\r' && c != '\t') return refuse(EBADMSG, "a control character");
      if (lines_ == 0 && position_ >= kHttpMaxStartLine)
        return refuse(ENAMETOOLONG, "a start line of more than 8 KiB");
      continue;
    }
    bool empty = position_ - line_start_ == 1;
    if (empty && lines_ == 0) return refuse(EBADMSG, "an empty line in place of a start line");
    if (empty) return std::optional(++position_);
    if (++lines_ > kHttpMaxHeaders + 1) return refuse(EMSGSIZE, "more than 100 header fields");
    line_start_ = position_ + 1;
  }
  return std::optional<std::size_t>();
}

namespace {

struct Target {
  HttpTargetForm form;
  std::optional<HostPort> authority;
  std::string path;
};

/// Host and port of an authority, whose errors say what is wrong with it.
Result<HostPort> parse_authority(std::string_view text) {
  if (text.find('@') != std::string_view::npos)
    return refuse(EBADMSG, "user information in the target");
  auto parsed = parse_host_port(text);
  if (!parsed) return refuse(EBADMSG, "target: " + parsed.error().detail);
  return std::move(*parsed);
}

Result<Target> parse_absolute(std::string_view text, std::size_t scheme_end) {
  if (!equals_ignoring_case(text.substr(0, scheme_end), "http"))
    return refuse(EOPNOTSUPP, "a URL scheme other than http", "use CONNECT for https");
  std::string_view rest = text.substr(scheme_end + 3);
  std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  HostPort authority = TRY(parse_authority(rest.substr(0, end)));
  Target target{HttpTargetForm::absolute, std::move(authority), {}};
  rest.remove_prefix(end);
  target.path = rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
  return target;
}

Result<Target> parse_target(std::string_view method, std::string_view text) {
  bool plain = std::all_of(text.begin(), text.end(),
                           [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
  if (text.empty() || !plain) return refuse(EBADMSG, "a byte in the target that no URL has");
  if (method == "CONNECT") {
    HostPort authority = TRY(parse_authority(text));
    if (!authority.port) return refuse(EBADMSG, "CONNECT without a port");
    return Target{HttpTargetForm::authority, std::move(authority), {}};
  }
  if (text.front() == '/') return Target{HttpTargetForm::origin, {}, std::string(text)};
  if (text == "*" && method == "OPTIONS") return Target{HttpTargetForm::asterisk, {}, "*"};
  std::size_t scheme = text.find("://");
  bool has_scheme =
      scheme != std::string_view::npos && scheme > 0 &&
      std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(scheme), is_scheme_char);
  if (!has_scheme) return refuse(EBADMSG, "a target that is neither a path nor a URL");
  Target target = TRY(parse_absolute(text, scheme));
  std::string_view rest = text.substr(scheme + 3);
  if (method == "OPTIONS" && rest.find_first_of("/?") == std::string_view::npos)
    target.path = "*";  // RFC 9112 3.2.4
  return target;
}

Result<int> parse_version(std::string_view text) {
  if (text == "HTTP/1.1") return 1;
  if (text == "HTTP/1.0") return 0;
  return refuse(EPROTONOSUPPORT, "a version other than HTTP/1.0 and HTTP/1.1");
}

/// Host as RFC 9112 3.2 wants it: once, well-formed, and the same as the target's authority.
Result<void> check_host(HttpRequest& request) {
  std::optional<HostPort> field;
  for (const HttpHeader& header : request.headers) {
    if (!equals_ignoring_case(header.name, "host")) continue;
    if (field) return refuse(EBADMSG, "two Host fields");
    field = TRY(parse_authority(header.value));
  }
  if (!field) {
    if (request.minor_version == 1) return refuse(EBADMSG, "no Host field");
    return {};
  }
  if (!request.target) {
    request.target = std::move(field);
    return {};
  }
  bool same_port = request.form == HttpTargetForm::authority
                       ? !field->port || field->port == request.target->port
                       : field->port.value_or(80) == request.port_or(80);
  if (field->host != request.target->host || !same_port)
    return refuse(EBADMSG, "Host differs from the target");
  return {};
}

/// Request bodies: RFC 9112 6.3, without its leniencies.
Result<void> check_framing(HttpRequest& request) {
  Framing framing = TRY(find_framing(request.headers));
  if (framing.chunked && request.minor_version == 0)
    return refuse(EBADMSG, "Transfer-Encoding in HTTP/1.0");
  if (request.form == HttpTargetForm::authority && (framing.chunked || framing.length.value_or(0)))
    return refuse(EBADMSG, "CONNECT with a body");
  if (framing.chunked)
    request.body = {BodyKind::chunked, 0};
  else if (framing.length)
    request.body = {BodyKind::length, *framing.length};
  return {};
}

}  // namespace

std::uint16_t HttpRequest::port_or(std::uint16_t default_port) const {
  return target ? target->port.value_or(default_port) : default_port;
}

const std::string* HttpRequest::header(std::string_view name) const {
  return find_header(headers, name);
}

const std::string* HttpResponse::header(std::string_view name) const {
  return find_header(headers, name);
}

Result<HttpRequest> parse_http_request(std::string_view head) {
  Lines lines = TRY(split_head(head));
  std::size_t first = lines.start.find(' '), last = lines.start.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return refuse(EBADMSG, "a request line without method, target and version");
  HttpRequest request;
  request.method = lines.start.substr(0, first);
  if (!is_token(request.method) || request.method.size() > kMaxMethod)
    return refuse(EBADMSG, "a malformed method");
  request.minor_version = TRY(parse_version(lines.start.substr(last + 1)));
  Target target =
      TRY(parse_target(request.method, lines.start.substr(first + 1, last - first - 1)));
  request.form = target.form;
  request.target = std::move(target.authority);
  request.path = std::move(target.path);
  request.headers = TRY(parse_fields(lines.fields));
  TRY_VOID(check_host(request));
  TRY_VOID(check_framing(request));
  Connection connection = TRY(parse_connection(request.headers));
  request.keep_alive = connection.keep_alive(request.minor_version);
  if (connection.names("upgrade"))
    if (const std::string* upgrade = request.header("upgrade")) request.upgrade = *upgrade;
  return request;
}

Result<HttpResponse> parse_http_response(std::string_view head, std::string_view method) {
  Lines lines = TRY(split_head(head));
  HttpResponse response;
  response.minor_version = TRY(parse_version(lines.start.substr(0, 8)));
  std::string_view rest = lines.start.substr(8);
  bool shaped = rest.size() >= 4 && rest[0] == ' ' && is_digits(rest.substr(1, 3)) &&
                rest[1] >= '1' && rest[1] <= '5' && (rest.size() == 4 || rest[4] == ' ');
  if (!shaped) return refuse(EBADMSG, "a malformed status line");
  response.status = (rest[1] - '0') * 100 + (rest[2] - '0') * 10 + (rest[3] - '0');
  if (rest.size() > 5) response.reason = rest.substr(5);
  response.headers = TRY(parse_fields(lines.fields));
  Connection connection = TRY(parse_connection(response.headers));
  response.keep_alive = connection.keep_alive(response.minor_version);
  if (connection.names("upgrade"))
    if (const std::string* upgrade = response.header("upgrade")) response.upgrade = *upgrade;

  if (method == "CONNECT" && response.status / 100 == 2)
    return refuse(EBADMSG, "an answer that opens a tunnel");
  Framing framing = TRY(find_framing(response.headers));
  if (framing.chunked && response.minor_version == 0)
    return refuse(EBADMSG, "Transfer-Encoding in HTTP/1.0");
  if (response.status < 200 || response.status == 204 || response.status == 304 || method == "HEAD")
    return response;
  if (framing.chunked)
    response.body = {BodyKind::chunked, 0};
  else if (framing.length)
    response.body = {BodyKind::length, *framing.length};
  else
    response.body = {BodyKind::until_close, 0};
  return response;
}

}  // namespace dirbox::netns
