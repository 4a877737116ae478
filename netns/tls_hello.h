#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netns/host.h"

/// Reads the TLS ClientHello at the start of a stream, to compare its server name with the name
/// that was allowed. Nothing is decrypted or changed; the caller keeps the bytes and passes them on
/// after the verdict.
///
/// Theory of operation: feed() takes the stream in whatever pieces it comes. Record headers are
/// stripped and the handshake bytes gathered, up to kMaxClientHello (post-quantum key shares and
/// session tickets make a hello of several KiB, in several records and segments). When the length
/// in the handshake header is there, the message is parsed once, whole. A hello in which any length
/// does not fit exactly, an extension comes twice, or the server name is not one valid host name is
/// malformed: two readers could see two names in it.
///
/// What it cannot see: the name inside an encrypted hello (`ech`; a GREASE extension of RFC 9849
/// looks the same on purpose), the second hello after a HelloRetryRequest, and what HTTP asks for
/// inside the connection.
namespace dirbox::netns {

inline constexpr std::size_t kMaxClientHello = 64 * 1024;  ///< handshake bytes
inline constexpr std::size_t kMaxHelloStream = 80 * 1024;  ///< with record headers

enum class TlsHelloStatus {
  need_more,
  complete,
  not_tls,    ///< the first bytes are no TLS handshake record; SSLv2 hellos are among these
  malformed,  ///< starts as TLS, but is no well-formed ClientHello
  too_large,
};

struct ClientHello {
  std::optional<Hostname> server_name;
  bool ech = false;  ///< extension encrypted_client_hello (0xfe0d), or its draft (0xffce)
  std::vector<std::string> alpn;
  std::uint16_t legacy_version = 0;
};

class TlsHelloReader {
 public:
  /// The next bytes of the stream, each byte once. After any status but need_more, more input is
  /// ignored and the status stays.
  TlsHelloStatus feed(std::span<const std::byte> bytes);
  TlsHelloStatus status() const { return status_; }
  /// Valid when complete.
  const ClientHello& hello() const { return hello_; }
  /// What is wrong, when the status is none of need_more and complete.
  const std::string& problem() const { return problem_; }

 private:
  TlsHelloStatus finish(TlsHelloStatus status, std::string problem);
  TlsHelloStatus take_record_header();
  TlsHelloStatus take_handshake();

  TlsHelloStatus status_ = TlsHelloStatus::need_more;
  std::string problem_;
  std::array<std::uint8_t, 5> header_{};
  std::size_t header_length_ = 0;
  std::size_t record_left_ = 0;
  std::size_t stream_bytes_ = 0;
  std::vector<std::uint8_t> handshake_;
  ClientHello hello_;
};

/// The handshake message alone: type, 24-bit length, body; exactly. EBADMSG.
Result<ClientHello> parse_client_hello(std::span<const std::uint8_t> message);

}  // namespace dirbox::netns
