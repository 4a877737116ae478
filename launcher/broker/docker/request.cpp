#include "launcher/broker/docker/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "launcher/broker/docker/refusal.h"
#include "netns/http1_syntax.h"

namespace dirbox::docker {
namespace {

namespace syntax = netns::http_syntax;

constexpr std::string_view kMethods[] = {"HEAD", "GET", "POST", "PUT", "DELETE"};

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool all_of(std::string_view text, std::string_view more) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [more](char c) {
    return is_alnum(c) || more.find(c) != std::string_view::npos;
  });
}

/// "v1.41" -> 41. nullopt when it is no version at all.
std::optional<Result<unsigned>> parse_version(std::string_view segment) {
  if (segment.size() < 2 || segment[0] != 'v' || segment[1] < '0' || segment[1] > '9')
    return std::nullopt;
  std::string_view minor = segment.substr(std::min<std::size_t>(3, segment.size()));
  if (!segment.starts_with("v1.") || !syntax::is_digits(minor) || minor.size() > 2 ||
      (minor.size() > 1 && minor[0] == '0'))
    return Result<unsigned>(refuse_form("an API version that is not v1.N"));
  unsigned version = 0;
  for (char c : minor) version = version * 10 + static_cast<unsigned>(c - '0');
  if (version < kOldestVersion)
    return Result<unsigned>(refuse(fmt::format("API version 1.{} is refused", version),
                                   fmt::format("use 1.{} or later", kOldestVersion)));
  return Result<unsigned>(version);
}

Result<void> parse_path(std::string_view text, Request& request) {
  if (text.size() > kMaxPath) return refuse_form("a path that is too long");
  if (text.empty() || text[0] != '/') return refuse_form("a target that is not a path");
  text.remove_prefix(1);
  for (bool more = true; more;) {
    std::size_t slash = text.find('/');
    more = slash != std::string_view::npos;
    std::string_view segment = text.substr(0, slash);
    if (!is_segment(segment)) return refuse_form("a path with unusual characters or segments");
    if (more) text.remove_prefix(slash + 1);
    if (request.path.empty() && request.version == 0) {
      if (auto version = parse_version(segment)) {
        request.version = TRY(std::move(*version));
        continue;
      }
    }
    request.path.emplace_back(segment);
  }
  if (request.path.empty()) return refuse_form("a path without an endpoint");
  return {};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> decode_value(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return refuse_form("a broken % in the query");
      int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return refuse_form("a broken % in the query");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+') {
      c = ' ';
    }
    if (syntax::is_control(c)) return refuse_form("a control character in the query");
    out.push_back(c);
  }
  if (out.size() > kMaxParameter) return refuse_form("a query parameter that is too long");
  return out;
}

Result<void> parse_query(std::string_view text, Request& request) {
  // Older Go takes ';' for '&', newer Go drops such a pair.
  if (text.find_first_of(";#") != std::string_view::npos)
    return refuse_form("';' or '#' in the query");
  while (!text.empty()) {
    std::size_t end = std::min(text.find('&'), text.size());
    std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) return refuse_form("an empty query parameter");
    std::size_t equals = std::min(pair.find('='), pair.size());
    std::string_view key = pair.substr(0, equals);
    if (!all_of(key, "_-") || key.size() > 40) return refuse_form("an unusual query parameter");
    if (request.query.size() == kMaxParameters) return refuse_form("too many query parameters");
    std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    // Apart: a return out of the middle of an initializer leaves what was made of it.
    std::string decoded = TRY(decode_value(value));
    request.query.push_back({std::string(key), std::move(decoded)});
  }
  return {};
}

Result<void> parse_request_line(std::string_view line, Request& request) {
  std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return refuse_form("a request line");
  request.method = line.substr(0, first);
  if (std::find(std::begin(kMethods), std::end(kMethods), request.method) == std::end(kMethods))
    return refuse_form("an unusual method");
  std::string_view version = line.substr(last + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return refuse_form("an HTTP version");
  request.minor_version = version.back() - '0';
  std::string_view target = line.substr(first + 1, last - first - 1);
  if (std::any_of(target.begin(), target.end(), [](char c) { return c <= ' ' || c > '~'; }))
    return refuse_form("an unusual character in the target");
  std::size_t question = std::min(target.find('?'), target.size());
  TRY_VOID(parse_path(target.substr(0, question), request));
  return parse_query(target.substr(std::min(question + 1, target.size())), request);
}

Result<void> parse_framing(const std::vector<netns::HttpHeader>& headers, Request& request) {
  syntax::Framing framing = TRY(syntax::find_framing(headers));
  if (framing.chunked && request.minor_version == 0)
    return refuse_form("Transfer-Encoding in HTTP/1.0");
  if (framing.chunked) {
    request.body = {netns::BodyKind::chunked, 0};
  } else if (framing.length.value_or(0) > 0) {
    request.body = {netns::BodyKind::length, *framing.length};
  }
  syntax::Connection connection = TRY(syntax::parse_connection(headers));
  request.keep_alive = connection.keep_alive(request.minor_version);
  const std::string* upgrade = syntax::find_header(headers, "upgrade");
  if (upgrade != nullptr && connection.names("upgrade")) {
    if (*upgrade == "h2c") return refuse_buildkit();
    if (*upgrade != "tcp") return refuse_form("an upgrade to another protocol than tcp");
    request.upgrade = true;
  }
  return {};
}

Result<void> check_headers(const std::vector<netns::HttpHeader>& headers, int minor_version) {
  int hosts = 0;
  for (const netns::HttpHeader& header : headers) {
    if (syntax::equals_ignoring_case(header.name, "host")) ++hosts;
    if (syntax::equals_ignoring_case(header.name, "expect"))
      return Failure(Error{"docker", {}, EOPNOTSUPP, "Expect is not supported", {}});
  }
  if (hosts > 1 || (hosts == 0 && minor_version == 1)) return refuse_form("not exactly one Host");
  return {};
}

}  // namespace

bool is_segment(std::string_view text) {
  return all_of(text, "_.:@-") && text != "." && text != "..";
}

bool is_object_name(std::string_view text) {
  return all_of(text, "_.-") && is_alnum(text[0]) && text.size() <= 255;
}

bool is_image_name(std::string_view text) {
  if (text.empty() || text.size() > 255 || !is_alnum(text[0])) return false;
  for (;;) {
    std::size_t slash = text.find('/');
    if (!is_segment(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

std::string Request::path_text() const { return fmt::format("{}", fmt::join(path, "/")); }

Result<Request> parse_request(std::string_view head) {
  syntax::Lines lines = TRY(syntax::split_head(head));
  Request request;
  TRY_VOID(parse_request_line(lines.start, request));
  auto headers = TRY(syntax::parse_fields(lines.fields));
  TRY_VOID(check_headers(headers, request.minor_version));
  TRY_VOID(parse_framing(headers, request));
  return request;
}

std::string encode_query(const std::vector<Parameter>& query) {
  std::string out;
  auto put = [&out](std::string_view text) {
    for (char c : text) {
      if (is_alnum(c) || std::string_view("-_.~").find(c) != std::string_view::npos) {
        out.push_back(c);
      } else {
        out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
      }
    }
  };
  for (const Parameter& parameter : query) {
    if (!out.empty()) out.push_back('&');
    put(parameter.key);
    out.push_back('=');
    put(parameter.value);
  }
  return out;
}

}  // namespace dirbox::docker
