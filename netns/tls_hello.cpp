#include "netns/tls_hello.h"

#include <algorithm>
#include <cerrno>

#include "netns/wire_reader.h"

namespace dirbox::netns {
namespace {

constexpr std::uint8_t kContentHandshake = 22;  // RFC 8446 5.1
constexpr std::size_t kMaxRecord = 1 << 14;     // plaintext fragment
constexpr std::uint8_t kClientHelloType = 1;    // RFC 8446 4
constexpr std::size_t kHandshakeHeader = 4;
constexpr std::uint16_t kServerName = 0, kAlpn = 16;
constexpr std::uint16_t kEncryptedHello = 0xfe0d, kEncryptedSni = 0xffce;

constexpr std::string_view kMalformed = "a length that does not fit";

Failure malformed(std::string_view detail) {
  return Failure(Error{"parse ClientHello", {}, EBADMSG, std::string(detail), {}});
}

/// RFC 6066 3: exactly one entry, a host name, as a client writes it: no trailing dot, no address.
Result<Hostname> parse_server_name(WireReader extension) {
  WireReader list = extension.vector(2);
  std::uint8_t type = list.u8();
  WireReader name = list.vector(2);
  if (!extension.done() || !list.done() || type != 0)
    return malformed("server_name is not exactly one host name");
  auto bytes = name.take(name.left());
  std::string text(bytes.begin(), bytes.end());
  auto host = parse_hostname(text);
  if (!host || text.ends_with('.')) return malformed("server_name is not a valid host name");
  return host;
}

/// RFC 7301 3.1.
Result<std::vector<std::string>> parse_alpn(WireReader extension) {
  WireReader list = extension.vector(2);
  if (!extension.done() || list.left() == 0) return malformed("a broken list of protocols");
  std::vector<std::string> protocols;
  while (list.left() > 0) {
    WireReader protocol = list.vector(1);
    if (!list.ok() || protocol.left() == 0) return malformed("a broken list of protocols");
    auto bytes = protocol.take(protocol.left());
    protocols.emplace_back(bytes.begin(), bytes.end());
  }
  return protocols;
}

Result<void> parse_extensions(WireReader list, ClientHello& hello) {
  std::vector<std::uint16_t> seen;
  while (list.left() > 0) {
    std::uint16_t type = list.u16();
    WireReader body = list.vector(2);
    if (!list.ok()) return malformed(kMalformed);
    seen.push_back(type);
    if (type == kServerName) hello.server_name = TRY(parse_server_name(body));
    if (type == kAlpn) hello.alpn = TRY(parse_alpn(body));
    if (type == kEncryptedHello || type == kEncryptedSni) hello.ech = true;
  }
  std::sort(seen.begin(), seen.end());
  if (std::adjacent_find(seen.begin(), seen.end()) != seen.end())
    return malformed("an extension that comes twice");
  return {};
}

}  // namespace

Result<ClientHello> parse_client_hello(std::span<const std::uint8_t> message) {
  WireReader outer(message);
  std::uint8_t type = outer.u8();
  WireReader body = outer.vector(3);
  if (!outer.done()) return malformed(kMalformed);
  if (type != kClientHelloType) return malformed("a handshake message other than ClientHello");
  ClientHello hello;
  hello.legacy_version = body.u16();
  body.take(32);  // random
  WireReader session = body.vector(1);
  WireReader ciphers = body.vector(2);
  WireReader compressions = body.vector(1);
  if (!body.ok()) return malformed(kMalformed);
  if (hello.legacy_version >> 8 != 3) return malformed("an unknown version");
  if (session.left() > 32 || ciphers.left() == 0 || ciphers.left() % 2 != 0 ||
      compressions.left() == 0)
    return malformed(kMalformed);
  if (body.left() == 0) return hello;  // before extensions existed
  WireReader extensions = body.vector(2);
  if (!body.done()) return malformed(kMalformed);
  TRY_VOID(parse_extensions(extensions, hello));
  return hello;
}

TlsHelloStatus TlsHelloReader::finish(TlsHelloStatus status, std::string problem) {
  status_ = status;
  problem_ = std::move(problem);
  handshake_ = {};
  return status;
}

TlsHelloStatus TlsHelloReader::feed(std::span<const std::byte> bytes) {
  while (status_ == TlsHelloStatus::need_more && !bytes.empty()) {
    if (record_left_ == 0) {
      header_[header_length_++] = static_cast<std::uint8_t>(bytes.front());
      bytes = bytes.subspan(1);
      ++stream_bytes_;
      take_record_header();
      continue;
    }
    auto piece = bytes.first(std::min(bytes.size(), record_left_));
    auto* data = reinterpret_cast<const std::uint8_t*>(piece.data());
    handshake_.insert(handshake_.end(), data, data + piece.size());
    bytes = bytes.subspan(piece.size());
    record_left_ -= piece.size();
    stream_bytes_ += piece.size();
    take_handshake();
  }
  return status_;
}

/// Looks at each byte of a record header as soon as it is there, so that another protocol is known
/// by its first byte.
TlsHelloStatus TlsHelloReader::take_record_header() {
  bool first_record = handshake_.empty();
  auto other = first_record ? TlsHelloStatus::not_tls : TlsHelloStatus::malformed;
  const char* problem =
      first_record ? "not TLS" : "another record before the end of the ClientHello";
  if (header_length_ == 1 && header_[0] != kContentHandshake) return finish(other, problem);
  if (header_length_ == 2 && header_[1] != 3) return finish(other, problem);
  if (header_length_ < header_.size()) return status_;
  header_length_ = 0;
  record_left_ = static_cast<std::size_t>(header_[3]) << 8 | header_[4];
  if (record_left_ == 0 || record_left_ > kMaxRecord)
    return finish(TlsHelloStatus::malformed, "a record that is empty or larger than 16 KiB");
  if (stream_bytes_ + record_left_ > kMaxHelloStream)
    return finish(TlsHelloStatus::too_large, "a ClientHello in too many bytes");
  return status_;
}

TlsHelloStatus TlsHelloReader::take_handshake() {
  if (handshake_[0] != kClientHelloType)
    return finish(TlsHelloStatus::malformed, "a handshake message other than ClientHello");
  if (handshake_.size() < kHandshakeHeader) return status_;
  std::size_t length =
      kHandshakeHeader + (static_cast<std::size_t>(handshake_[1]) << 16 |
                          static_cast<std::size_t>(handshake_[2]) << 8 | handshake_[3]);
  if (length > kMaxClientHello)
    return finish(TlsHelloStatus::too_large, "a ClientHello of more than 64 KiB");
  // A record that goes on after the hello would carry a second message before any answer.
  if (handshake_.size() + record_left_ > length)
    return finish(TlsHelloStatus::malformed, "more than the ClientHello in its record");
  if (handshake_.size() < length) return status_;
  auto hello = parse_client_hello(handshake_);
  if (!hello) return finish(TlsHelloStatus::malformed, hello.error().detail);
  hello_ = std::move(*hello);
  return finish(TlsHelloStatus::complete, {});
}

}  // namespace dirbox::netns
