#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netns/host.h"

/// DNS messages (RFC 1035, EDNS RFC 6891) for a responder that knows every answer itself: one
/// strict question in, one small answer out. An answer never exceeds 512 bytes, so that truncation
/// does not exist.
namespace dirbox::netns {

inline constexpr std::size_t kDnsMaxQuery = 4096;  ///< longer ones are refused; padding is < 500
inline constexpr std::size_t kDnsMaxAnswer = 512;  ///< RFC 1035 4.2.1
inline constexpr std::uint32_t kDnsTtl = 5;        ///< seconds; also for negative answers

/// The types that the responder tells apart. Others are numbers.
namespace dns_type {
inline constexpr std::uint16_t kA = 1, kSoa = 6, kPtr = 12, kAaaa = 28, kOpt = 41, kHttps = 65,
                               kIxfr = 251, kAxfr = 252, kAny = 255;
}
inline constexpr std::uint16_t kDnsClassIn = 1;

enum class DnsRcode : std::uint16_t {
  no_error = 0,
  format_error = 1,
  server_failure = 2,
  name_error = 3,  ///< NXDOMAIN
  not_implemented = 4,
  refused = 5,
  bad_version = 16,  ///< needs EDNS
};

struct DnsQuery {
  std::uint16_t id = 0;
  bool recursion_desired = false;
  bool checking_disabled = false;
  /// Absent for a name that is valid in DNS but is no host name: the root, spaces, bytes beyond
  /// ASCII. It is echoed like any other.
  std::optional<Hostname> name;
  std::uint16_t type = 0;
  std::uint16_t qclass = kDnsClassIn;
  std::vector<std::byte> question;  ///< name, type and class as they came, case kept (0x20)
  bool edns = false;
  std::uint8_t edns_version = 0;
  bool dnssec_ok = false;
};

/// One message without the TCP length. Demands a query, opcode 0, exactly one question without
/// compression, no other record than one OPT, and not a byte more. EBADMSG; EOPNOTSUPP for another
/// opcode; EINVAL for what must not be answered (too short, or itself an answer).
/// An OPT of a version other than 0 is no error: see edns_version.
Result<DnsQuery> parse_dns_query(std::span<const std::byte> message);

/// Length-prefixed messages of TCP (RFC 7766). The message at the front of `buffer`, without its
/// prefix; nullopt for more. EMSGSIZE above kDnsMaxQuery, EBADMSG below a header.
Result<std::optional<std::span<const std::byte>>> dns_tcp_message(
    std::span<const std::byte> buffer);
/// `message` with its prefix.
std::vector<std::byte> dns_tcp_frame(std::span<const std::byte> message);

/// The IPv4 address that a name in in-addr.arpa stands for; nullopt for other names.
std::optional<IpAddress> dns_reverse_address(const Hostname& name);

std::vector<std::byte> encode_dns_address(const DnsQuery& query, const IpAddress& v4,
                                          std::uint32_t ttl = kDnsTtl);
std::vector<std::byte> encode_dns_pointer(const DnsQuery& query, const Hostname& name,
                                          std::uint32_t ttl = kDnsTtl);
/// The name exists and has no record of this type (RFC 2308: with an SOA, so that it is cached).
std::vector<std::byte> encode_dns_no_data(const DnsQuery& query, std::uint32_t ttl = kDnsTtl);
/// NXDOMAIN, and for a client that speaks EDNS the extended error 15, "Blocked" (RFC 8914), with
/// `text`, cut to what fits.
std::vector<std::byte> encode_dns_blocked(const DnsQuery& query, std::string_view text);
/// Any rcode without records; bad_version too.
std::vector<std::byte> encode_dns_rcode(const DnsQuery& query, DnsRcode rcode);
/// The answer to a message that parse_dns_query refused with `error`: a header alone with FORMERR
/// or NOTIMP; empty when it must not be answered.
std::vector<std::byte> encode_dns_parse_failure(std::span<const std::byte> message,
                                                const Error& error);

}  // namespace dirbox::netns
