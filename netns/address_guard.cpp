#include "netns/address_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace dirbox::netns {
namespace {

struct SpecialRow {
  std::string_view network;
  AddressClass address_class;
  std::string_view source;
};

using enum AddressClass;

// The IANA special-purpose registries for IPv4 and IPv6, and the metadata services of clouds.
// A more specific row comes before the one that contains it; the first match counts.
constexpr SpecialRow kSpecial[] = {
    {"0.0.0.0/32", unspecified, "RFC 1122"},
    {"0.0.0.0/8", this_network, "RFC 791"},
    {"10.0.0.0/8", private_use, "RFC 1918"},
    {"100.100.100.200/32", metadata, "Alibaba Cloud"},
    {"100.64.0.0/10", shared, "RFC 6598"},
    {"127.0.0.0/8", loopback, "RFC 1122"},
    {"168.63.129.16/32", metadata, "Azure WireServer"},
    {"169.254.169.254/32", metadata, "EC2, GCE, Azure, OpenStack"},
    {"169.254.170.2/32", metadata, "ECS task credentials"},
    {"169.254.170.23/32", metadata, "EKS pod identity"},
    {"169.254.0.0/16", link_local, "RFC 3927"},
    {"172.16.0.0/12", private_use, "RFC 1918"},
    {"192.0.0.192/32", metadata, "Oracle Cloud"},
    {"192.0.0.0/24", protocol_assignments, "RFC 6890"},
    {"192.0.2.0/24", documentation, "RFC 5737"},
    {"192.88.99.0/24", six_to_four, "RFC 7526"},
    {"192.168.0.0/16", private_use, "RFC 1918"},
    {"198.18.0.0/15", benchmarking, "RFC 2544"},
    {"198.51.100.0/24", documentation, "RFC 5737"},
    {"203.0.113.0/24", documentation, "RFC 5737"},
    {"224.0.0.0/4", multicast, "RFC 5771"},
    {"255.255.255.255/32", broadcast, "RFC 919"},
    {"240.0.0.0/4", reserved, "RFC 1112"},

    {"::/128", unspecified, "RFC 4291"},
    {"::1/128", loopback, "RFC 4291"},
    {"::/96", v4_compatible, "RFC 4291 2.5.5.1"},
    {"::ffff:0:0:0/96", v4_translated, "RFC 2765"},
    {"64:ff9b:1::/48", nat64_local, "RFC 8215"},
    {"100::/64", discard, "RFC 6666"},
    {"100:0:0:1::/64", protocol_assignments, "RFC 9780"},
    {"2001::/32", teredo, "RFC 4380"},
    {"2001:2::/48", benchmarking, "RFC 5180"},
    {"2001:db8::/32", documentation, "RFC 3849"},
    {"2001::/23", protocol_assignments, "RFC 2928"},
    {"2002::/16", six_to_four, "RFC 3056"},
    {"3fff::/20", documentation, "RFC 9637"},
    {"5f00::/16", segment_routing, "RFC 9602"},
    {"fd00:ec2::254/128", metadata, "EC2"},
    {"fd00:ec2::23/128", metadata, "EKS pod identity"},
    {"fd20:ce::254/128", metadata, "GCE"},
    {"fc00::/7", private_use, "RFC 4193"},
    {"fe80::a9fe:a9fe/128", metadata, "OpenStack"},
    {"fe80::/10", link_local, "RFC 4291"},
    {"fec0::/10", site_local, "RFC 3879"},
    {"ff00::/8", multicast, "RFC 4291"},
};
// RFC 4291 2.4, IANA: only 2000::/3 is assigned for global unicast.
constexpr std::string_view kGlobalUnicast = "2000::/3";

struct SpecialNetwork {
  Network network;
  const SpecialRow* row;
};

Network must_parse_network(std::string_view text) {
  std::size_t slash = text.find('/');
  unsigned bits = 0;
  for (char c : text.substr(slash + 1)) bits = bits * 10 + static_cast<unsigned>(c - '0');
  return {parse_ip(text.substr(0, slash)).value(), static_cast<std::uint8_t>(bits)};
}

const std::vector<SpecialNetwork>& special_networks() {
  static const std::vector<SpecialNetwork> networks = [] {
    std::vector<SpecialNetwork> out;
    for (const SpecialRow& row : kSpecial) out.push_back({must_parse_network(row.network), &row});
    return out;
  }();
  return networks;
}

/// The IPv4 address that a packet to `address` ends up at: inside v4-mapped, and inside the
/// well-known NAT64 prefix.
IpAddress effective_address(const IpAddress& address) {
  IpAddress plain = address.unmapped();
  constexpr std::array<std::uint8_t, 12> kNat64 = {0, 0x64, 0xff, 0x9b};
  auto bytes = plain.bytes();
  if (plain.is_v4() || !std::equal(kNat64.begin(), kNat64.end(), bytes.begin())) return plain;
  return IpAddress::v4({bytes[12], bytes[13], bytes[14], bytes[15]});
}

const SpecialNetwork* find_special(const IpAddress& effective) {
  for (const SpecialNetwork& special : special_networks())
    if (special.network.contains(effective)) return &special;
  return nullptr;
}

bool is_never_opened(AddressClass address_class) {
  constexpr AddressClass kNever[] = {unspecified, this_network, loopback,
                                     metadata,    multicast,    broadcast};
  return std::find(std::begin(kNever), std::end(kNever), address_class) != std::end(kNever);
}

/// An allow rule for `address`:`port` that is written as a network inside `within`.
bool opened_by_rule(const IpAddress& address, std::uint16_t port, const Network& within,
                    const RuleSet& rules) {
  for (const Rule* rule : rules.networks()) {
    const Network& network = std::get<Network>(rule->target);
    if (rule->covers(port) && network.contains(address) && within.contains(network)) return true;
  }
  return false;
}

struct ClassName {
  AddressClass address_class;
  std::string_view name;
};
constexpr ClassName kNames[] = {
    {public_unicast, "public"},
    {unspecified, "unspecified"},
    {this_network, "this-network"},
    {loopback, "loopback"},
    {private_use, "private"},
    {shared, "carrier-grade NAT"},
    {link_local, "link-local"},
    {metadata, "metadata"},
    {protocol_assignments, "protocol assignment"},
    {documentation, "documentation"},
    {benchmarking, "benchmarking"},
    {six_to_four, "6to4"},
    {nat64_local, "local NAT64"},
    {teredo, "Teredo"},
    {v4_compatible, "IPv4-compatible"},
    {v4_translated, "IPv4-translated"},
    {site_local, "site-local"},
    {segment_routing, "segment routing"},
    {discard, "discard-only"},
    {multicast, "multicast"},
    {broadcast, "broadcast"},
    {reserved, "reserved"},
};

}  // namespace

std::string_view address_class_name(AddressClass address_class) {
  for (const ClassName& row : kNames)
    if (row.address_class == address_class) return row.name;
  return "unknown";
}

AddressInfo classify_address(const IpAddress& address) {
  IpAddress effective = effective_address(address);
  if (const SpecialNetwork* special = find_special(effective))
    return {special->row->address_class, special->row->network, special->row->source};
  static const Network global = must_parse_network(kGlobalUnicast);
  if (!effective.is_v4() && !global.contains(effective)) return {reserved, {}, "RFC 4291"};
  return {};
}

std::optional<std::string> never_opened(const Network& network) {
  auto why = [&](const SpecialRow& row) {
    return fmt::format("{} is {} ({})", network.text(), address_class_name(row.address_class),
                       row.source);
  };
  IpAddress effective = effective_address(network.address);
  bool single = network.prefix_bits == network.address.bytes().size() * 8;
  if (single && effective != network.address) {  // guard_address opens no translated forms
    const SpecialNetwork* special = find_special(effective);
    return special ? std::optional(why(*special->row)) : std::nullopt;
  }
  for (const SpecialNetwork& special : special_networks()) {
    if (!special.network.contains(network)) continue;
    if (!is_never_opened(special.row->address_class)) return std::nullopt;
    return why(*special.row);
  }
  return std::nullopt;
}

std::optional<std::string> guard_address(const IpAddress& address, std::uint16_t port,
                                         std::span<const IpAddress> own_addresses,
                                         const RuleSet& rules) {
  IpAddress effective = effective_address(address);
  for (const IpAddress& candidate : {address, effective})
    if (const Rule* rule = rules.denies(candidate, port))
      return fmt::format("{} is denied by {} ({})", address.text(), rule->text(),
                         rule->origin.text());
  AddressInfo info = classify_address(address);
  if (info.address_class != public_unicast) {
    const SpecialNetwork* special = find_special(effective);
    bool open = special && !is_never_opened(info.address_class) &&
                effective == address.unmapped() &&
                opened_by_rule(effective, port, special->network, rules);
    if (!open)
      return fmt::format("{} is a {} address ({})", address.text(),
                         address_class_name(info.address_class), info.source);
  }
  bool own = std::any_of(own_addresses.begin(), own_addresses.end(),
                         [&](const IpAddress& mine) { return mine.unmapped() == effective; });
  Network exactly{effective, static_cast<std::uint8_t>(effective.bytes().size() * 8)};
  if (own && !opened_by_rule(effective, port, exactly, rules))
    return fmt::format("{} is an address of this host", address.text());
  return std::nullopt;
}

}  // namespace dirbox::netns
