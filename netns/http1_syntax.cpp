#include "netns/http1_syntax.h"

#include <algorithm>
#include <cerrno>

namespace dirbox::netns::http_syntax {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_token_char(char c) {
  bool alnum = (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
  return alnum || (c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}

/// Largest length that fits everywhere: 2^63 - 1.
constexpr std::size_t kMaxLengthDigits = 18;

}  // namespace

Failure refuse(int err, std::string_view detail, std::string_view hint) {
  return Failure(Error{"parse HTTP head", {}, err, std::string(detail), std::string(hint)});
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool is_scheme_char(char c) {
  return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '+' || c == '-' ||
         c == '.';
}

bool is_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trim(std::string_view text) {
  std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

Result<Lines> split_head(std::string_view head) {
  HttpHeadScanner scanner;
  auto length = TRY(scanner.scan(head));
  if (length != head.size()) return refuse(EBADMSG, "not exactly one head");
  Lines lines;
  std::size_t end = head.find("\r\n");
  lines.start = head.substr(0, end);
  for (head.remove_prefix(end + 2); head.size() > 2; head.remove_prefix(end + 2)) {
    end = head.find("\r\n");
    lines.fields.push_back(head.substr(0, end));
  }
  return lines;
}

Result<std::vector<HttpHeader>> parse_fields(const std::vector<std::string_view>& lines) {
  std::vector<HttpHeader> headers;
  headers.reserve(lines.size());
  for (std::string_view line : lines) {
    if (line.front() == ' ' || line.front() == '\t')
      return refuse(EBADMSG, "a folded header field");
    std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
      return refuse(EBADMSG, "a malformed name of a header field");
    headers.push_back(
        {std::string(line.substr(0, colon)), std::string(trim(line.substr(colon + 1)))});
  }
  return headers;
}

const std::string* find_header(const std::vector<HttpHeader>& headers, std::string_view name) {
  for (const HttpHeader& header : headers)
    if (equals_ignoring_case(header.name, name)) return &header.value;
  return nullptr;
}

Result<Framing> find_framing(const std::vector<HttpHeader>& headers) {
  Framing framing;
  for (const HttpHeader& header : headers) {
    bool is_length = equals_ignoring_case(header.name, "content-length");
    if (!is_length && !equals_ignoring_case(header.name, "transfer-encoding")) continue;
    if (framing.length || framing.chunked)
      return refuse(EBADMSG, "more than one Content-Length or Transfer-Encoding");
    if (!is_length) {
      if (!equals_ignoring_case(header.value, "chunked"))
        return refuse(EOPNOTSUPP, "a transfer coding other than chunked");
      framing.chunked = true;
      continue;
    }
    if (!is_digits(header.value) || header.value.size() > kMaxLengthDigits)
      return refuse(EBADMSG, "a malformed Content-Length");
    framing.length = 0;
    for (char c : header.value)
      *framing.length = *framing.length * 10 + static_cast<unsigned>(c - '0');
  }
  return framing;
}

bool Connection::names(std::string_view field) const {
  return std::any_of(options.begin(), options.end(),
                     [&](std::string_view option) { return equals_ignoring_case(option, field); });
}

bool Connection::keep_alive(int minor_version) const {
  if (names("close")) return false;
  return minor_version == 1 || names("keep-alive");
}

Result<Connection> parse_connection(const std::vector<HttpHeader>& headers) {
  Connection connection;
  for (const HttpHeader& header : headers) {
    if (!equals_ignoring_case(header.name, "connection")) continue;
    std::string_view rest = header.value;
    while (!rest.empty()) {
      std::size_t comma = rest.find(',');
      std::string_view option = trim(rest.substr(0, comma));
      if (!option.empty()) {  // RFC 9110 5.6.1.2: empty elements are allowed
        if (!is_token(option)) return refuse(EBADMSG, "a malformed Connection field");
        connection.options.push_back(option);
      }
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  return connection;
}

}  // namespace dirbox::netns::http_syntax
