#include <algorithm>
#include <cerrno>

#include "netns/dns.h"
#include "netns/wire_reader.h"

namespace dirbox::netns {
namespace {

constexpr std::uint16_t kNamePointer = 0xc00c;   // to the name in the question
constexpr std::uint16_t kOurPayloadSize = 1232;  // the common EDNS buffer size
constexpr std::uint16_t kOptionExtendedError = 15, kErrorBlocked = 15;  // RFC 8914
constexpr std::size_t kExtendedErrorFixed = 6;  // option header and info code

class Writer {
 public:
  void u8(unsigned value) { bytes_.push_back(static_cast<std::byte>(value)); }
  void u16(unsigned value) {
    u8(value >> 8);
    u8(value & 0xff);
  }
  void u32(std::uint32_t value) {
    u16(value >> 16);
    u16(value & 0xffff);
  }
  void raw(std::span<const std::byte> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view text) {
    for (char c : text) u8(static_cast<unsigned char>(c));
  }
  std::size_t size() const { return bytes_.size(); }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

struct Sections {
  unsigned answers = 0;
  unsigned authorities = 0;
};

Writer begin(const DnsQuery& query, DnsRcode rcode, Sections sections) {
  Writer out;
  unsigned flags = 0x8000 | (static_cast<unsigned>(rcode) & 0xf) | 0x0080;  // QR, RA
  if (query.recursion_desired) flags |= 0x0100;
  if (query.checking_disabled) flags |= 0x0010;
  out.u16(query.id);
  out.u16(flags);
  out.u16(1);
  out.u16(sections.answers);
  out.u16(sections.authorities);
  out.u16(query.edns ? 1 : 0);
  out.raw(query.question);
  return out;
}

/// Adds the OPT of the answer, with an extended error when `blocked`, and ends the message.
std::vector<std::byte> finish(Writer out, const DnsQuery& query, DnsRcode rcode,
                              bool blocked = false, std::string_view why = {}) {
  if (!query.edns) return out.take();
  out.u8(0);
  out.u16(dns_type::kOpt);
  out.u16(kOurPayloadSize);
  out.u8(static_cast<unsigned>(rcode) >> 4);
  out.u8(0);  // version
  out.u16(query.dnssec_ok ? 0x8000 : 0);
  if (!blocked) {
    out.u16(0);
    return out.take();
  }
  std::size_t room = kDnsMaxAnswer - std::min(kDnsMaxAnswer, out.size() + 2 + kExtendedErrorFixed);
  std::string_view cut = why.substr(0, room);
  out.u16(static_cast<unsigned>(cut.size() + kExtendedErrorFixed));
  out.u16(kOptionExtendedError);
  out.u16(static_cast<unsigned>(cut.size() + 2));
  out.u16(kErrorBlocked);
  out.text(cut);
  return out.take();
}

void record_head(Writer& out, std::uint16_t type, std::uint32_t ttl) {
  out.u16(kNamePointer);
  out.u16(type);
  out.u16(kDnsClassIn);
  out.u32(ttl);
}

/// The SOA that makes a negative answer cacheable (RFC 2308 2.1), with the queried name as its own
/// zone: nothing is known of zones here.
void append_soa(Writer& out, std::uint32_t ttl) {
  record_head(out, dns_type::kSoa, ttl);
  out.u16(1 + 1 + 5 * 4);
  out.u8(0);  // mname and rname: the root
  out.u8(0);
  for (std::uint32_t number : {1U, 3600U, 600U, 86400U, ttl}) out.u32(number);
}

}  // namespace

std::vector<std::byte> dns_tcp_frame(std::span<const std::byte> message) {
  Writer out;
  out.u16(static_cast<unsigned>(message.size()));
  out.raw(message);
  return out.take();
}

std::vector<std::byte> encode_dns_address(const DnsQuery& query, const IpAddress& v4,
                                          std::uint32_t ttl) {
  Writer out = begin(query, DnsRcode::no_error, {1, 0});
  record_head(out, dns_type::kA, ttl);
  out.u16(4);
  out.raw(std::as_bytes(v4.bytes().first(4)));
  return finish(std::move(out), query, DnsRcode::no_error);
}

std::vector<std::byte> encode_dns_pointer(const DnsQuery& query, const Hostname& name,
                                          std::uint32_t ttl) {
  Writer out = begin(query, DnsRcode::no_error, {1, 0});
  record_head(out, dns_type::kPtr, ttl);
  out.u16(static_cast<unsigned>(name.text().size() + 2));
  std::string_view rest = name.text();
  while (!rest.empty()) {
    std::size_t dot = std::min(rest.find('.'), rest.size());
    out.u8(static_cast<unsigned>(dot));
    out.text(rest.substr(0, dot));
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  out.u8(0);
  return finish(std::move(out), query, DnsRcode::no_error);
}

std::vector<std::byte> encode_dns_no_data(const DnsQuery& query, std::uint32_t ttl) {
  Writer out = begin(query, DnsRcode::no_error, {0, 1});
  append_soa(out, ttl);
  return finish(std::move(out), query, DnsRcode::no_error);
}

std::vector<std::byte> encode_dns_blocked(const DnsQuery& query, std::string_view text) {
  Writer out = begin(query, DnsRcode::name_error, {0, 1});
  append_soa(out, kDnsTtl);
  return finish(std::move(out), query, DnsRcode::name_error, true, text);
}

std::vector<std::byte> encode_dns_rcode(const DnsQuery& query, DnsRcode rcode) {
  return finish(begin(query, rcode, {}), query, rcode);
}

std::vector<std::byte> encode_dns_parse_failure(std::span<const std::byte> message,
                                                const Error& error) {
  if (error.err == EINVAL) return {};
  WireReader reader(message);
  std::uint16_t id = reader.u16(), flags = reader.u16();
  if (!reader.ok()) return {};
  DnsRcode rcode = error.err == EOPNOTSUPP ? DnsRcode::not_implemented : DnsRcode::format_error;
  Writer out;
  out.u16(id);
  out.u16(0x8000U | (flags & 0x7900U) | static_cast<unsigned>(rcode));  // opcode and RD are echoed
  for (int i = 0; i < 4; ++i) out.u16(0);
  return out.take();
}

}  // namespace dirbox::netns
