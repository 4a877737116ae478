#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netns/host.h"

/// HTTP/1 message heads (RFC 9110, RFC 9112), as strict as a boundary needs: whatever two parsers
/// could read differently is refused, so that the one behind us sees what we judged.
/// Refused: bare CR, bare LF, NUL and other controls, obs-fold, white space before the colon, empty
/// lines before the request line, a second Host, Host that differs from the target, Content-Length
/// beside Transfer-Encoding, repeated or listed Content-Length, any transfer coding but one
/// "chunked", a version other than 1.0 and 1.1, userinfo and fragments in the target.
///
/// Errors carry an errno for the answer: http_status_of().
namespace dirbox::netns {

inline constexpr std::size_t kHttpMaxStartLine = 8 * 1024;
inline constexpr std::size_t kHttpMaxHead = 64 * 1024;
inline constexpr std::size_t kHttpMaxHeaders = 100;

/// The status to answer with: 400 (EBADMSG), 414 (ENAMETOOLONG), 431 (EMSGSIZE), 501 (EOPNOTSUPP:
/// transfer codings, URL schemes), 505 (EPROTONOSUPPORT).
int http_status_of(const Error& error);

/// Finds the end of a head in a growing buffer; looks at each byte once, and refuses broken line
/// ends, controls and excess as soon as they arrive.
class HttpHeadScanner {
 public:
  /// `buffer` is the whole buffer so far, from the first byte of the head: what was there at the
  /// last call, and more. The length of the head with its empty line, or nullopt for more.
  Result<std::optional<std::size_t>> scan(std::string_view buffer);

 private:
  std::size_t position_ = 0;    ///< bytes before it were looked at
  std::size_t line_start_ = 0;  ///< of the line that `position_` is in
  std::size_t lines_ = 0;
};

struct HttpHeader {
  std::string name;   ///< as written
  std::string value;  ///< without white space at the ends
  bool operator==(const HttpHeader&) const = default;
};

enum class BodyKind {
  none,
  length,       ///< Content-Length
  chunked,      ///< Transfer-Encoding: chunked
  until_close,  ///< responses only
};
struct BodyFraming {
  BodyKind kind = BodyKind::none;
  std::uint64_t length = 0;  ///< for BodyKind::length
  bool operator==(const BodyFraming&) const = default;
};

enum class HttpTargetForm {
  origin,     ///< "/path?query"
  absolute,   ///< "http://host[:port]/path"
  authority,  ///< "host:port", with CONNECT and only there
  asterisk,   ///< "*", with OPTIONS and only there
};

struct HttpRequest {
  std::string method;
  HttpTargetForm form = HttpTargetForm::origin;
  /// Whom the request is for: host and port of an absolute or authority target, else of the Host
  /// field. Empty only for an HTTP/1.0 request in origin form without Host. The port is as written
  /// and always there for CONNECT.
  std::optional<HostPort> target;
  std::string path;  ///< path and query for the server; "*" for asterisk; empty for CONNECT
  int minor_version = 1;
  std::vector<HttpHeader> headers;  ///< all of them, in order
  BodyFraming body;
  bool keep_alive = false;  ///< by version and Connection
  std::string upgrade;      ///< value of Upgrade if Connection names it, else empty

  std::uint16_t port_or(std::uint16_t default_port) const;
  /// The first field of that name, ASCII case ignored; nullptr when absent.
  const std::string* header(std::string_view name) const;
};

/// `head` is one whole head with its empty line, as measured by HttpHeadScanner.
Result<HttpRequest> parse_http_request(std::string_view head);

struct HttpResponse {
  int status = 0;
  std::string reason;
  int minor_version = 1;
  std::vector<HttpHeader> headers;
  BodyFraming body;  ///< none for 1xx, 204, 304 and answers to HEAD; a 2xx to CONNECT is refused
  bool keep_alive = false;
  std::string upgrade;

  bool is_interim() const { return status >= 100 && status < 200 && status != 101; }
  const std::string* header(std::string_view name) const;
};

/// Head of the answer to a request with `method`.
Result<HttpResponse> parse_http_response(std::string_view head, std::string_view method);

struct HttpRewrite {
  bool keep_alive = false;     ///< what we say in Connection
  bool allow_upgrade = false;  ///< pass "Upgrade: websocket" on; no other protocol ever
};
/// The head for the server: origin form, the version of the client, Host from the target, framing
/// written afresh from `body`, no hop-by-hop field (RFC 9110 7.6.1: Connection and what it names,
/// Keep-Alive, TE, Trailer, Transfer-Encoding, Upgrade) no Proxy-* and no X-Dirbox-*
/// field.
/// Requires a target, and a method other than CONNECT.
std::string rewrite_http_request(const HttpRequest& request, const HttpRewrite& rewrite);
/// The head for the client, with the same fields dropped: no server speaks in the name of the
/// sandbox. A body of unknown length goes out with
/// "Connection: close" whatever `rewrite` says.
std::string rewrite_http_response(const HttpResponse& response, const HttpRewrite& rewrite);

}  // namespace dirbox::netns
