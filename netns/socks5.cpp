#include "netns/socks5.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "netns/wire_reader.h"

namespace dirbox::netns {
namespace {

constexpr std::uint8_t kAuthVersion = 1;  // RFC 1929 2
constexpr std::uint8_t kCommandConnect = 1;
constexpr std::uint8_t kAddressV4 = 1, kAddressName = 3, kAddressV6 = 4;

Failure refuse(int err, std::string_view detail) {
  return Failure(Error{"parse SOCKS message", {}, err, std::string(detail), {}});
}

std::string text_of(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

std::vector<std::byte> bytes_of(std::initializer_list<std::uint8_t> list) {
  std::vector<std::byte> out(list.size());
  std::transform(list.begin(), list.end(), out.begin(),
                 [](std::uint8_t b) { return std::byte{b}; });
  return out;
}

template <std::size_t N>
std::array<std::uint8_t, N> array_of(std::span<const std::uint8_t> bytes) {
  std::array<std::uint8_t, N> out{};
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

/// The destination of a request; without a value when the reader ran out of bytes.
Result<std::optional<Host>> read_host(WireReader& reader, std::uint8_t type) {
  if (type == kAddressV4 || type == kAddressV6) {
    auto bytes = reader.take(type == kAddressV4 ? 4 : 16);
    if (!reader.ok()) return std::optional<Host>();
    return std::optional<Host>(type == kAddressV4 ? IpAddress::v4(array_of<4>(bytes))
                                                  : IpAddress::v6(array_of<16>(bytes)));
  }
  std::uint8_t length = reader.u8();
  if (reader.ok() && length == 0) return refuse(EBADMSG, "an empty name");
  auto bytes = reader.take(length);
  if (!reader.ok()) return std::optional<Host>();
  auto host = parse_host(text_of(bytes));
  if (!host) return refuse(EBADMSG, host.error().detail);
  return std::optional<Host>(std::move(*host));
}

}  // namespace

Result<std::optional<SocksGreeting>> parse_socks_greeting(std::span<const std::byte> bytes) {
  WireReader reader(bytes);
  std::uint8_t version = reader.u8();
  if (!reader.ok()) return std::optional<SocksGreeting>();
  if (version == kSocks4Version) return refuse(EPROTONOSUPPORT, "SOCKS4 is not spoken here");
  if (version != kSocks5Version) return refuse(EBADMSG, "not SOCKS5");
  std::uint8_t count = reader.u8();
  if (reader.ok() && count == 0) return refuse(EBADMSG, "no authentication method");
  auto methods = reader.take(count);
  if (!reader.ok()) return std::optional<SocksGreeting>();
  auto offers = [&](SocksMethod method) {
    return std::find(methods.begin(), methods.end(), static_cast<std::uint8_t>(method)) !=
           methods.end();
  };
  return std::optional(SocksGreeting{offers(SocksMethod::none), offers(SocksMethod::user_password),
                                     reader.position()});
}

Result<std::optional<SocksCredentials>> parse_socks_credentials(std::span<const std::byte> bytes) {
  WireReader reader(bytes);
  std::uint8_t version = reader.u8();
  if (reader.ok() && version != kAuthVersion)
    return refuse(EBADMSG, "not a user name and password");
  std::string user = text_of(reader.take(reader.u8()));
  std::string password = text_of(reader.take(reader.u8()));
  if (!reader.ok()) return std::optional<SocksCredentials>();
  return std::optional(SocksCredentials{std::move(user), std::move(password), reader.position()});
}

Result<std::optional<SocksRequest>> parse_socks_request(std::span<const std::byte> bytes) {
  WireReader reader(bytes);
  std::uint8_t version = reader.u8();
  if (reader.ok() && version != kSocks5Version) return refuse(EBADMSG, "not SOCKS5");
  std::uint8_t command = reader.u8();
  if (reader.ok() && command != kCommandConnect)
    return refuse(EOPNOTSUPP, "a command other than CONNECT");
  std::uint8_t reserved = reader.u8();
  if (reader.ok() && reserved != 0) return refuse(EBADMSG, "the reserved byte is not zero");
  std::uint8_t type = reader.u8();
  if (!reader.ok()) return std::optional<SocksRequest>();
  if (type != kAddressV4 && type != kAddressName && type != kAddressV6)
    return refuse(EAFNOSUPPORT, "an unknown type of address");
  std::optional<Host> host = TRY(read_host(reader, type));
  std::uint16_t port = reader.u16();
  if (!host || !reader.ok()) return std::optional<SocksRequest>();
  if (port == 0) return refuse(EBADMSG, "port 0");
  return std::optional(SocksRequest{std::move(*host), port, reader.position()});
}

SocksReply socks_reply_of(const Error& error) {
  switch (error.err) {
    case EOPNOTSUPP:
      return SocksReply::command_not_supported;
    case EAFNOSUPPORT:
      return SocksReply::address_type_not_supported;
    case ENETUNREACH:
      return SocksReply::network_unreachable;
    case EHOSTUNREACH:
    case ETIMEDOUT:
      return SocksReply::host_unreachable;
    case ECONNREFUSED:
      return SocksReply::connection_refused;
    case EACCES:
    case EPERM:
      return SocksReply::not_allowed;
    default:
      return SocksReply::general_failure;
  }
}

std::vector<std::byte> encode_socks_method(SocksMethod method) {
  return bytes_of({kSocks5Version, static_cast<std::uint8_t>(method)});
}

std::vector<std::byte> encode_socks_auth_result(bool accepted) {
  return bytes_of({kAuthVersion, static_cast<std::uint8_t>(accepted ? 0 : 1)});
}

std::vector<std::byte> encode_socks_reply(SocksReply reply) {
  return bytes_of(
      {kSocks5Version, static_cast<std::uint8_t>(reply), 0, kAddressV4, 0, 0, 0, 0, 0, 0});
}

std::vector<std::byte> encode_socks4_refusal() { return bytes_of({0, 91, 0, 0, 0, 0, 0, 0}); }

}  // namespace dirbox::netns
