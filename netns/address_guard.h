#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "netns/host.h"
#include "netns/rules.h"

/// What kind of address a name resolved to, and whether it may be dialled. A name on the list says
/// nothing about the address that its owner, or whoever answers for it, puts behind it: without
/// this check a DNS record turns an allowed name into a way to the host and its neighbours.
namespace dirbox::netns {

enum class AddressClass : std::uint8_t {
  public_unicast,
  unspecified,
  this_network,
  loopback,
  private_use,
  shared,  ///< carrier-grade NAT
  link_local,
  metadata,  ///< a cloud's instance metadata service
  protocol_assignments,
  documentation,
  benchmarking,  ///< also the range of our own fake addresses
  six_to_four,
  nat64_local,
  teredo,
  v4_compatible,
  v4_translated,
  site_local,
  segment_routing,
  discard,
  multicast,
  broadcast,
  reserved,  ///< of a family, but not assigned for unicast use
};
std::string_view address_class_name(AddressClass address_class);

struct AddressInfo {
  AddressClass address_class = AddressClass::public_unicast;
  std::string_view network;  ///< the table's row, "169.254.0.0/16"; empty for public_unicast
  std::string_view source;   ///< "RFC 3927"
};
/// Class by the table of special-purpose addresses (IANA, RFC 6890 and later); the most specific
/// row wins. IPv4-mapped (::ffff:0:0/96) and well-known NAT64 (64:ff9b::/96, RFC 6052) addresses
/// have the class of the IPv4 address inside. A NAT64 prefix that a network chose for itself
/// (RFC 6052 2.2) looks like any public address.
AddressInfo classify_address(const IpAddress& address);

/// nullopt, or why no rule can open any address of `network`: "127.0.0.0/8 is loopback (RFC 1122)".
std::optional<std::string> never_opened(const Network& network);

/// nullopt: dial it. Otherwise one line that says why not: "169.254.169.254 is a metadata address
/// (RFC 3927)".
/// Refused: everything but public unicast, an address of the host itself (`own_addresses`), and
/// what a deny rule covers. A rule of `allow` that is itself written as an address opens private,
/// shared, link-local and the like when its network lies wholly inside the special network (so
/// 10.1.0.0/16 does, 0.0.0.0/0 does not), and an address of the host when it names just that one.
/// Loopback, unspecified, metadata, multicast and broadcast are never opened.
std::optional<std::string> guard_address(const IpAddress& address, std::uint16_t port,
                                         std::span<const IpAddress> own_addresses,
                                         const RuleSet& rules);

}  // namespace dirbox::netns
