#include "netns/address_guard.h"

#include <doctest/doctest.h>

using namespace dirbox;
using namespace dirbox::netns;

namespace {

IpAddress ip(std::string_view text) { return parse_ip(text).value(); }

RuleSet rules(std::initializer_list<std::string_view> allow,
              std::initializer_list<std::string_view> deny = {}) {
  std::vector<RuleText> a, d;
  for (std::string_view text : allow) a.push_back({std::string(text), {"p.toml", 1, 1}});
  for (std::string_view text : deny) d.push_back({std::string(text), {"p.toml", 2, 1}});
  return RuleSet::make(a, d).value();
}

bool dials(std::string_view address, const RuleSet& set, std::uint16_t port = 443) {
  const IpAddress own[] = {ip("203.0.114.9"), ip("192.168.7.7"), ip("2600::9")};
  return !guard_address(ip(address), port, own, set);
}

}  // namespace

TEST_CASE("addresses have the class of the most specific special network") {
  struct Case {
    std::string_view address, name;
  };
  const Case cases[] = {
      {"0.0.0.0", "unspecified"},
      {"0.1.2.3", "this-network"},
      {"10.255.255.255", "private"},
      {"100.64.0.1", "carrier-grade NAT"},
      {"100.127.255.255", "carrier-grade NAT"},
      {"100.128.0.0", "public"},
      {"100.100.100.200", "metadata"},
      {"127.0.0.1", "loopback"},
      {"127.255.255.254", "loopback"},
      {"128.0.0.1", "public"},
      {"169.254.1.1", "link-local"},
      {"169.254.169.254", "metadata"},
      {"169.254.170.2", "metadata"},
      {"172.15.255.255", "public"},
      {"172.16.0.0", "private"},
      {"172.31.255.255", "private"},
      {"172.32.0.0", "public"},
      {"192.0.0.8", "protocol assignment"},
      {"192.0.0.192", "metadata"},
      {"192.0.2.1", "documentation"},
      {"192.88.99.1", "6to4"},
      {"192.168.0.1", "private"},
      {"198.17.255.255", "public"},
      {"198.18.0.1", "benchmarking"},
      {"198.19.255.255", "benchmarking"},
      {"198.20.0.0", "public"},
      {"198.51.100.1", "documentation"},
      {"203.0.113.1", "documentation"},
      {"224.0.0.251", "multicast"},
      {"239.255.255.250", "multicast"},
      {"240.0.0.1", "reserved"},
      {"255.255.255.255", "broadcast"},
      {"168.63.129.16", "metadata"},
      {"8.8.8.8", "public"},
      {"1.1.1.1", "public"},
      {"::", "unspecified"},
      {"::1", "loopback"},
      {"::127.0.0.1", "IPv4-compatible"},
      {"::ffff:127.0.0.1", "loopback"},
      {"::ffff:7f00:1", "loopback"},
      {"::ffff:8.8.8.8", "public"},
      {"::ffff:169.254.169.254", "metadata"},
      {"::ffff:0:127.0.0.1", "IPv4-translated"},
      {"64:ff9b::7f00:1", "loopback"},
      {"64:ff9b::8.8.8.8", "public"},
      {"64:ff9b::10.0.0.1", "private"},
      {"64:ff9b::a9fe:a9fe", "metadata"},
      {"64:ff9b:1::1", "local NAT64"},
      {"64:ff9b:0:1::1", "reserved"},
      {"100::1", "discard-only"},
      {"2001::1", "Teredo"},
      {"2001:2::1", "benchmarking"},
      {"2001:db8::1", "documentation"},
      {"2001:10::1", "protocol assignment"},
      {"2001:200::1", "public"},
      {"2002:7f00:1::", "6to4"},
      {"2002:808:808::", "6to4"},
      {"3fff::1", "documentation"},
      {"fc00::1", "private"},
      {"fd12::1", "private"},
      {"fd00:ec2::254", "metadata"},
      {"fe80::1", "link-local"},
      {"febf::1", "link-local"},
      {"fec0::1", "site-local"},
      {"ff02::1", "multicast"},
      {"5f00::1", "segment routing"},
      {"4000::1", "reserved"},
      {"fe00::1", "reserved"},
      {"2600::1", "public"},
      {"2a00:1450::1", "public"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.address);
    AddressInfo info = classify_address(ip(c.address));
    CHECK(address_class_name(info.address_class) == c.name);
    CHECK(info.source.empty() == (info.address_class == AddressClass::public_unicast));
  }
}

TEST_CASE("a name never leads to a special address or to the host") {
  RuleSet set = rules({"*.example.com", "0.0.0.0/0:1-65535", "[::/0]:1-65535"});
  for (std::string_view address : {"::1",
                                   "::ffff:127.0.0.1",
                                   "0.0.0.0",
                                   "169.254.169.254",
                                   "64:ff9b::7f00:1",
                                   "127.0.0.1",
                                   "10.0.0.1",
                                   "192.168.1.1",
                                   "100.64.0.1",
                                   "fe80::1",
                                   "fd00::1",
                                   "224.0.0.1",
                                   "255.255.255.255",
                                   "2002:7f00:1::",
                                   "::",
                                   "198.18.0.1",
                                   "240.0.0.1",
                                   "203.0.114.9",
                                   "::ffff:203.0.114.9",
                                   "64:ff9b::cb00:7209",
                                   "2600::9",
                                   "4000::1"}) {
    CAPTURE(address);
    CHECK_FALSE(dials(address, set));
    CHECK_FALSE(dials(address, RuleSet{}));
  }
  for (std::string_view address : {"8.8.8.8", "2600::1", "::ffff:8.8.8.8", "64:ff9b::808:808"}) {
    CAPTURE(address);
    CHECK(dials(address, set));
    CHECK(dials(address, RuleSet{}));
  }
  CHECK(guard_address(ip("169.254.169.254"), 80, {}, set) ==
        "169.254.169.254 is a metadata address (EC2, GCE, Azure, OpenStack)");
}

TEST_CASE("rules written as addresses open what lies inside one special network") {
  RuleSet set = rules({"10.1.0.0/16:5432", "192.168.7.0/24", "203.0.114.9:22", "fd00::/8",
                       "169.254.0.0/16", "8.0.0.0/5"});
  CHECK(dials("10.1.2.3", set, 5432));
  CHECK(dials("::ffff:10.1.2.3", set, 5432));
  CHECK_FALSE(dials("64:ff9b::10.1.2.3", set, 5432));
  CHECK_FALSE(dials("10.1.2.3", set, 443));
  CHECK_FALSE(dials("10.2.2.3", set, 443));
  CHECK(dials("192.168.7.8", set));
  CHECK_FALSE(dials("192.168.7.7", set));
  CHECK(dials("203.0.114.9", set, 22));
  CHECK_FALSE(dials("203.0.114.9", set, 443));
  CHECK(dials("fd12::1", set));
  CHECK_FALSE(dials("fd00:ec2::254", set));
  CHECK(dials("169.254.1.1", set));
  CHECK_FALSE(dials("169.254.169.254", set));
  CHECK_FALSE(dials("127.0.0.1", set, 80));
  CHECK_FALSE(dials("::1", set));
}

TEST_CASE("a denied network holds for resolved addresses") {
  RuleSet set = rules({"*.example.com"}, {"8.8.0.0/16", "2600:1::/32"});
  for (std::string_view address : {"8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2600:1::1"}) {
    CAPTURE(address);
    CHECK_FALSE(dials(address, set));
  }
  CHECK(dials("8.9.8.8", set));
  CHECK(guard_address(ip("8.8.8.8"), 443, {}, set) ==
        "8.8.8.8 is denied by 8.8.0.0/16 (p.toml:2:1)");
}
