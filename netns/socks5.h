#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netns/host.h"

/// SOCKS5 (RFC 1928) with CONNECT and nothing else; user name and password (RFC 1929). Each parse
/// function takes the whole buffer so far, from the first byte of its message: nullopt asks for
/// more, and no message is longer than 513 bytes. SOCKS4 and 4a are recognised, to be refused.
namespace dirbox::netns {

inline constexpr std::uint8_t kSocks5Version = 5;
inline constexpr std::uint8_t kSocks4Version = 4;
inline constexpr std::size_t kSocksMaxMessage = 513;

enum class SocksMethod : std::uint8_t { none = 0, user_password = 2, unacceptable = 0xff };

struct SocksGreeting {
  bool offers_none = false;
  bool offers_user_password = false;
  std::size_t consumed = 0;
};
/// EPROTONOSUPPORT for SOCKS4, EBADMSG for anything else that is not a greeting.
Result<std::optional<SocksGreeting>> parse_socks_greeting(std::span<const std::byte> bytes);

struct SocksCredentials {
  std::string user;
  std::string password;
  std::size_t consumed = 0;
};
Result<std::optional<SocksCredentials>> parse_socks_credentials(std::span<const std::byte> bytes);

struct SocksRequest {
  Host host;
  std::uint16_t port = 0;
  std::size_t consumed = 0;
};
/// EOPNOTSUPP for BIND, UDP ASSOCIATE and unknown commands, EAFNOSUPPORT for an unknown address
/// type, EBADMSG for the rest: a name that parse_host refuses, port 0, a reserved byte that is set.
/// A name that is a dotted quad counts as the address.
Result<std::optional<SocksRequest>> parse_socks_request(std::span<const std::byte> bytes);

/// RFC 1928 6.
enum class SocksReply : std::uint8_t {
  succeeded = 0,
  general_failure = 1,
  not_allowed = 2,
  network_unreachable = 3,
  host_unreachable = 4,
  connection_refused = 5,
  command_not_supported = 7,
  address_type_not_supported = 8,
};
/// The reply for an Error of parse_socks_request, or for the errno of a failed connect(2).
SocksReply socks_reply_of(const Error& error);

std::vector<std::byte> encode_socks_method(SocksMethod method);
std::vector<std::byte> encode_socks_auth_result(bool accepted);
/// With the bound address 0.0.0.0:0: ours is of no use inside, and says something about the host.
std::vector<std::byte> encode_socks_reply(SocksReply reply);
/// "Request rejected" of SOCKS4.
std::vector<std::byte> encode_socks4_refusal();

}  // namespace dirbox::netns
