#include <algorithm>
#include <array>
#include <cerrno>

#include "netns/dns.h"
#include "netns/wire_reader.h"

namespace dirbox::netns {
namespace {

constexpr std::size_t kHeader = 12;
constexpr std::size_t kMaxWireName = 255;  // RFC 1035 2.3.4
constexpr std::uint16_t kFlagQr = 0x8000, kFlagsOpcode = 0x7800, kFlagRd = 0x0100, kFlagCd = 0x0010;
/// Bits that only answers set, the reserved one, and the rcode; AD (0x0020) may be set in a query
/// (RFC 6840 5.7).
constexpr std::uint16_t kFlagsForbidden = 0x0400 | 0x0200 | 0x0080 | 0x0040 | 0x000f;
constexpr std::uint32_t kEdnsDo = 0x8000;

Failure refuse(int err, std::string_view detail) {
  return Failure(Error{"parse DNS query", {}, err, std::string(detail), {}});
}

/// Skips an uncompressed name and gives its text, with labels as they came: a '.' inside a label
/// must not look like the end of it, so such a name has no text.
Result<std::optional<std::string>> read_name(WireReader& reader) {
  std::string text;
  bool plain = true;
  std::size_t start = reader.position();
  while (true) {
    std::uint8_t length = reader.u8();
    if (!reader.ok()) return refuse(EBADMSG, "a truncated name");
    if (length == 0) break;
    if (length > 63) return refuse(EBADMSG, "a compressed or extended label in the question");
    auto label = reader.take(length);
    if (!reader.ok()) return refuse(EBADMSG, "a truncated name");
    if (reader.position() - start >= kMaxWireName)
      return refuse(EBADMSG, "a name of more than 255 bytes");
    plain = plain && std::find(label.begin(), label.end(), '.') == label.end();
    if (!text.empty()) text += '.';
    text.append(label.begin(), label.end());
  }
  if (!plain || text.empty()) return std::optional<std::string>();
  return std::optional(std::move(text));
}

/// The only record a query may carry: OPT (RFC 6891 6.1.2), its options skipped one by one.
Result<void> read_opt(WireReader& reader, DnsQuery& query) {
  std::uint8_t root = reader.u8();
  std::uint16_t type = reader.u16();
  reader.u16();  // payload size: every answer fits the smallest
  std::uint32_t flags = reader.u32();
  WireReader options = reader.vector(2);
  if (!reader.ok() || root != 0 || type != dns_type::kOpt)
    return refuse(EBADMSG, "a record other than OPT");
  while (options.left() > 0) {
    options.u16();
    options.vector(2);
    if (!options.ok()) return refuse(EBADMSG, "a broken EDNS option");
  }
  query.edns = true;
  query.edns_version = static_cast<std::uint8_t>(flags >> 16);
  query.dnssec_ok = flags & kEdnsDo;
  return {};
}

std::optional<std::uint8_t> parse_octet(std::string_view label) {
  if (label.empty() || label.size() > 3 || (label.size() > 1 && label[0] == '0'))
    return std::nullopt;
  unsigned value = 0;
  for (char c : label) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  if (value > 255) return std::nullopt;
  return static_cast<std::uint8_t>(value);
}

}  // namespace

Result<DnsQuery> parse_dns_query(std::span<const std::byte> message) {
  WireReader reader(message);
  DnsQuery query;
  query.id = reader.u16();
  std::uint16_t flags = reader.u16();
  std::uint16_t questions = reader.u16(), answers = reader.u16();
  std::uint16_t authorities = reader.u16(), additional = reader.u16();
  if (!reader.ok()) return refuse(EINVAL, "shorter than a header");
  if (flags & kFlagQr) return refuse(EINVAL, "an answer");
  if (message.size() > kDnsMaxQuery) return refuse(EBADMSG, "more than 4096 bytes");
  if (flags & kFlagsOpcode) return refuse(EOPNOTSUPP, "an opcode other than QUERY");
  if (flags & kFlagsForbidden) return refuse(EBADMSG, "flags that no query has");
  if (questions != 1 || answers != 0 || authorities != 0 || additional > 1)
    return refuse(EBADMSG, "not one question and at most one OPT");
  query.recursion_desired = flags & kFlagRd;
  query.checking_disabled = flags & kFlagCd;

  auto name = TRY(read_name(reader));
  query.type = reader.u16();
  query.qclass = reader.u16();
  if (!reader.ok()) return refuse(EBADMSG, "a truncated question");
  auto question = message.subspan(kHeader, reader.position() - kHeader);
  query.question.assign(question.begin(), question.end());
  if (name)
    if (auto host = parse_hostname(*name)) query.name = std::move(*host);
  if (additional == 1) TRY_VOID(read_opt(reader, query));
  if (reader.left() != 0) return refuse(EBADMSG, "bytes after the message");
  return query;
}

Result<std::optional<std::span<const std::byte>>> dns_tcp_message(
    std::span<const std::byte> buffer) {
  using Message = std::optional<std::span<const std::byte>>;
  if (buffer.size() < 2) return Message();
  WireReader reader(buffer);
  std::size_t length = reader.u16();
  if (length < kHeader) return refuse(EBADMSG, "a length below that of a header");
  if (length > kDnsMaxQuery) return refuse(EMSGSIZE, "more than 4096 bytes");
  if (reader.left() < length) return Message();
  return Message(buffer.subspan(2, length));
}

std::optional<IpAddress> dns_reverse_address(const Hostname& name) {
  constexpr std::string_view kZone = ".in-addr.arpa";
  std::string_view rest = name.text();
  if (!rest.ends_with(kZone) || name.label_count() != 6) return std::nullopt;
  rest.remove_suffix(kZone.size());
  std::array<std::uint8_t, 4> bytes{};
  for (std::size_t i = bytes.size(); i-- > 0;) {
    std::size_t dot = std::min(rest.find('.'), rest.size());
    auto octet = parse_octet(rest.substr(0, dot));
    if (!octet) return std::nullopt;
    bytes[i] = *octet;
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  return IpAddress::v4(bytes);
}

}  // namespace dirbox::netns
