#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "netns/http1.h"

/// The grammar that requests and responses share. For http1*.cpp only.
namespace dirbox::netns::http_syntax {

inline constexpr std::size_t kMaxMethod = 32;  ///< the longest registered one has 17

/// An error of the parser; `err` as for http_status_of.
Failure refuse(int err, std::string_view detail, std::string_view hint = {});

bool is_control(char c);      ///< 0x00..0x1f, 0x7f
bool is_scheme_char(char c);  ///< RFC 3986 3.1
bool is_digits(std::string_view text);
bool is_token(std::string_view text);  ///< RFC 9110 5.6.2
bool equals_ignoring_case(std::string_view a, std::string_view b);
std::string_view trim(std::string_view text);  ///< spaces and tabs

struct Lines {
  std::string_view start;
  std::vector<std::string_view> fields;
};
/// The lines of one whole head, after HttpHeadScanner has passed all of it.
Result<Lines> split_head(std::string_view head);

Result<std::vector<HttpHeader>> parse_fields(const std::vector<std::string_view>& lines);
const std::string* find_header(const std::vector<HttpHeader>& headers, std::string_view name);

struct Framing {
  bool chunked = false;
  std::optional<std::uint64_t> length;
};
/// Content-Length and Transfer-Encoding, of which at most one field in all may be there.
Result<Framing> find_framing(const std::vector<HttpHeader>& headers);

/// The options of all Connection fields.
struct Connection {
  std::vector<std::string_view> options;  ///< views into the headers
  bool names(std::string_view field) const;
  bool keep_alive(int minor_version) const;
};
Result<Connection> parse_connection(const std::vector<HttpHeader>& headers);

}  // namespace dirbox::netns::http_syntax
