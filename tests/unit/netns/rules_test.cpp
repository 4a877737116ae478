#include "netns/rules.h"

#include <doctest/doctest.h>

using namespace dirbox;
using namespace dirbox::netns;
using namespace std::string_view_literals;

namespace {

std::vector<RuleText> texts(std::initializer_list<std::string_view> list) {
  std::vector<RuleText> out;
  std::uint32_t line = 1;
  for (std::string_view text : list) out.push_back({std::string(text), {"p.toml", line++, 5}});
  return out;
}

RuleSet rules(std::initializer_list<std::string_view> allow,
              std::initializer_list<std::string_view> deny = {}) {
  auto set = RuleSet::make(texts(allow), texts(deny));
  if (!set) FAIL(set.error().message());
  return std::move(*set);
}

/// What a proxy does with the text of a request: anything that is no host is no permission.
bool allows(const RuleSet& set, std::string_view host, std::uint16_t port = 443) {
  auto parsed = parse_host(host);
  return parsed && set.decide(*parsed, port).allowed;
}

Error refusal(std::string_view text, bool deny = false) {
  auto parsed = parse_rules({std::string(text), {"p.toml", 7, 3}}, deny);
  if (parsed) FAIL("accepted: " << text);
  return parsed.error();
}

}  // namespace

TEST_CASE("every spelling of a denied host stays denied") {
  RuleSet set = rules({"allowed.test", "*.wild.test"}, {"bad.wild.test", "*.worse.wild.test"});
  const std::string_view yes[] = {
      "allowed.test", "ALLOWED.TEST",    "allowed.test.",  "a.wild.test",     "a.b.wild.test",
      "A.Wild.Test.", "worse.wild.test", "xbad.wild.test", "bad.x.wild.test", "x.bad.wild.test"};
  for (std::string_view host : yes) {
    CAPTURE(host);
    CHECK(allows(set, host));
    CHECK(allows(set, host, 80));
    CHECK_FALSE(allows(set, host, 22));
  }
  const std::string_view no[] = {
      "evil.test",
      "evilallowed.test",
      "allowed.test.evil.test",
      "allowed.testevil",
      "xallowed.test",
      "sub.allowed.test",
      "test",
      "wild.test",
      "evilwild.test",
      "evil-wild.test",
      "wild.test.evil.test",
      "bad.wild.test",
      "BAD.wild.test",
      "bad.wild.test.",
      "Bad.Wild.Test.",
      "bad.wild.test..",
      "bad..wild.test",
      ".bad.wild.test",
      "x.worse.wild.test",
      "..wild.test",
      ".wild.test",
      "*.wild.test",
      "evil.test\0.wild.test"sv,
      "evil.test\0allowed.test"sv,
      "allowed.test\0"sv,
      "allowed.test\0.evil.test"sv,
      "allowed.test\r\n",
      "allowed.test ",
      " allowed.test",
      "allowed.test\t",
      "allowed.test\r\nX: y",
      "evil.test@allowed.test",
      "allowed.test@evil.test",
      "evil.test#.wild.test",
      "evil.test/.wild.test",
      "evil.test?.wild.test",
      "evil.test\\.wild.test",
      "evil.test:80.wild.test",
      "evil.test%00.wild.test",
      "evil.test%2f.wild.test",
      "allowed%2etest",
      "evil.test,a.wild.test",
      "evil.test;a.wild.test",
      "evil.test\xe3\x80\x82wild.test",
      "\xef\xbd\x81llowed.test",
      "allowed\xef\xbc\x8etest",
      "al\xc2\xadlowed.test",
      "allowed.test\xe2\x80\x8b",
      "wor\xe2\x84\xaa.wild.test",
      "b\303\244d.wild.test",
      "xn--allowed-.test",
      "127.0.0.1",
      "127.1",
      "0x7f000001",
      "0177.0.0.1",
      "0x7f.0.0.1",
      "2130706433",
      "0",
      "0.0.0.0",
      "127.0.0.1.",
      "localhost",
      "[::1]",
      "[::]",
      "[::ffff:127.0.0.1]",
      "[::ffff:7f00:1]",
      "[::127.0.0.1]",
      "[::1%25lo]",
      "[::1%lo]",
      "169.254.169.254",
      "2852039166",
      "0xa9fea9fe",
      "[::ffff:169.254.169.254]",
      "[fd00:ec2::254]",
      "93.184.216.34",
      "[2606:2800:220:1::1]",
  };
  for (std::string_view host : no) {
    CAPTURE(std::string(host));
    CHECK_FALSE(allows(set, host));
    CHECK_FALSE(allows(set, host, 80));
  }
}

TEST_CASE("ports: default, one, range; a deny without port closes all") {
  RuleSet set = rules({"a.test", "b.test:5432", "c.test:8000-8010", "d.test:1-65535"},
                      {"c.test:8005", "*.d.test"});
  CHECK(allows(set, "a.test", 80));
  CHECK(allows(set, "a.test", 443));
  CHECK_FALSE(allows(set, "a.test", 8080));
  CHECK(allows(set, "b.test", 5432));
  CHECK_FALSE(allows(set, "b.test", 5433));
  CHECK_FALSE(allows(set, "b.test", 443));
  CHECK(allows(set, "c.test", 8000));
  CHECK(allows(set, "c.test", 8010));
  CHECK_FALSE(allows(set, "c.test", 8005));
  CHECK_FALSE(allows(set, "c.test", 8011));
  CHECK(allows(set, "d.test", 1));
  CHECK(allows(set, "d.test", 65535));
  auto name = parse_hostname("c.test").value();
  CHECK(set.ports_of(name) == std::vector<PortRange>{{8000, 8004}, {8006, 8010}});
  CHECK(rules({"a.test", "b.test:81", "b.test:443-445", "b.test:9"}).ports() ==
        std::vector<PortRange>{{9, 9}, {80, 81}, {443, 445}});
}

TEST_CASE("verdicts name their rule and reason") {
  RuleSet set = rules({"*.a.test", "x.a.test:22"}, {"bad.a.test"});
  auto name = [](std::string_view text) { return parse_hostname(text).value(); };
  Verdict allowed = set.decide(name("y.a.test"), 443);
  CHECK(allowed.allowed);
  CHECK(allowed.reason == Reason::allowed);
  CHECK(allowed.rule->text() == "*.a.test");
  CHECK(allowed.rule->origin.text() == "p.toml:1:5");
  CHECK(set.decide(name("x.a.test"), 22).rule->text() == "x.a.test:22");
  Verdict closed = set.decide(name("y.a.test"), 22);
  CHECK(closed.reason == Reason::port_closed);
  CHECK(closed.rule->text() == "*.a.test");
  Verdict denied = set.decide(name("bad.a.test"), 443);
  CHECK(denied.reason == Reason::denied);
  CHECK(denied.rule->text() == "bad.a.test");
  CHECK(set.decide(name("a.test"), 443).reason == Reason::no_rule);
  CHECK(set.decide(name("a.test"), 443).rule == nullptr);
  CHECK_FALSE(RuleSet{}.decide(name("a.test"), 443).allowed);
}

TEST_CASE("a name resolves while one port of it is open") {
  RuleSet set = rules({"a.test", "b.test:1-10", "c.test"},
                      {"a.test:443", "b.test:2-65535", "b.test:1", "c.test"});
  auto verdict = [&](std::string_view text) {
    return set.name_allowed(parse_hostname(text).value());
  };
  CHECK(verdict("a.test").allowed);
  CHECK_FALSE(verdict("b.test").allowed);
  CHECK(verdict("b.test").reason == Reason::denied);
  CHECK_FALSE(verdict("c.test").allowed);
  CHECK(verdict("d.test").reason == Reason::no_rule);
}

TEST_CASE("addresses and networks") {
  RuleSet set = rules({"10.0.0.0/8:5432", "192.0.2.7", "2001:db8::/32", "[2001:db9::1]:22",
                       "[fc00::/7]:1-2", "0.0.0.0/0:9"},
                      {"10.1.0.0/16", "1.2.3.4:9"});
  CHECK(allows(set, "10.2.3.4", 5432));
  CHECK(allows(set, "[::ffff:10.2.3.4]", 5432));
  CHECK_FALSE(allows(set, "10.2.3.4", 443));
  CHECK_FALSE(allows(set, "10.1.3.4", 5432));
  CHECK_FALSE(allows(set, "[::ffff:10.1.3.4]", 5432));
  CHECK_FALSE(allows(set, "[::10.2.3.4]", 5432));
  CHECK(allows(set, "192.0.2.7"));
  CHECK_FALSE(allows(set, "192.0.2.8"));
  CHECK(allows(set, "[2001:db8:ffff::1]"));
  CHECK_FALSE(allows(set, "[2001:db9::1]"));
  CHECK(allows(set, "[2001:db9::1]", 22));
  CHECK(allows(set, "[fd00::1]", 2));
  CHECK(allows(set, "8.8.8.8", 9));
  CHECK_FALSE(allows(set, "1.2.3.4", 9));
  CHECK_FALSE(allows(set, "[2606::1]", 9));
  CHECK(set.networks().size() == 6);
  CHECK(set.denies(parse_ip("::ffff:10.1.0.1").value(), 1) != nullptr);
  CHECK(set.denies(parse_ip("10.2.0.1").value(), 1) == nullptr);
  CHECK_FALSE(set.name_allowed(parse_hostname("a.test").value()).allowed);
}

TEST_CASE("rules print in a form that reads back") {
  const std::string_view cases[] = {"a.test",        "*.a.test",           "a.test:22",
                                    "a.test:80-443", "10.0.0.0/8",         "10.0.0.1:22",
                                    "2001:db8::/32", "[2001:db8::/32]:22", "[fd00::1]:1-2",
                                    "fd00::1",       "0.0.0.0/0",          "::/0"};
  for (bool deny : {false, true}) {
    for (std::string_view text : cases) {
      CAPTURE(text);
      auto parsed = parse_rules({std::string(text), {}}, deny);
      REQUIRE(parsed);
      CHECK(parsed->at(0).text() == text);
      CHECK(parse_rules({parsed->at(0).text(), {}}, deny)->at(0).ports == parsed->at(0).ports);
    }
  }
  CHECK(parse_rules({"A.Test.:443", {}}, false)->at(0).text() == "a.test:443");
}

TEST_CASE("broken rules say where and what to write") {
  struct Case {
    std::string_view text, said;
  };
  const Case cases[] = {
      {"", "empty rule"},
      {"*", "name the hosts"},
      {"*.*", "whole labels"},
      {"*.com", "*.example.com"},
      {"*.test.", "registry"},
      {"*.co.uk", "*.example.co.uk"},
      {"a.*.com", "whole labels"},
      {"*a.com", "whole labels"},
      {"a*", "whole labels"},
      {"**.a.com", "whole labels"},
      {"*.", "empty name"},
      {"https://x.test/y", "host alone: x.test"},
      {"x.test/y", "host alone: x.test"},
      {"x.test:443/y", "host alone: x.test"},
      {"u@x.test", "host alone: x.test"},
      {"http://u:p@x.test:80/y?z#w", "host alone: x.test"},
      {"x.test:", "host:443"},
      {"x.test:0", "host:443"},
      {"x.test:65536", "host:443"},
      {"x.test:80,443", "host:443"},
      {"x.test:*", "host:443"},
      {"x.test:https", "host:443"},
      {"x.test:10-", "host:443"},
      {"x.test:-10", "host:443"},
      {"x.test:20-10", "ends before"},
      {"127.1", "number as the last label"},
      {"0x7f000001", "number as the last label"},
      {"0177.0.0.1", "number as the last label"},
      {"300.1.1.1", "number as the last label"},
      {"10.0.0.1/8", "10.0.0.0/8"},
      {"10.0.0.0/33", "0 to 32"},
      {"10.0.0.0/08", "0 to 32"},
      {"10.0.0.0/", "0 to 32"},
      {"10.0.0.0/255.0.0.0", "0 to 32"},
      {"2001:db8::/129", "0 to 128"},
      {"::ffff:10.0.0.1", "10.0.0.1"},
      {"fe80::1%eth0", "IPv6"},
      {"[::1", "without ']'"},
      {"[::1]80", ":port"},
      {"[10.0.0.1]:80", "brackets"},
      {"x.test:1:2", "IPv6"},
      {"b\xc3\xbc"
       "cher.test",
       "A-label"},
      {"a b", "byte 0x20"},
      {" a", "byte 0x20"},
      {"localhost", "--host-port"},
      {"localhost:8080", "--host-port"},
      {"LOCALHOST.", "--host-port"},
      {"a.localhost", "--host-port"},
      {"*.localhost", "--host-port"},
      {"ip6-loopback:80", "--host-port"},
      {"127.0.0.1:8080", "--host-port"},
      {"127.0.0.0/8", "--host-port"},
      {"[::1]:80", "--host-port"},
      {"0.0.0.0", "unspecified"},
      {"0.0.0.0/8", "this-network"},
      {"::", "unspecified"},
      {"169.254.169.254", "metadata"},
      {"fd00:ec2::254", "metadata"},
      {"64:ff9b::a9fe:a9fe", "metadata"},
      {"64:ff9b::a00:1", "private"},
      {"224.0.0.251:5353", "multicast"},
      {"ff02::/16", "multicast"},
      {"255.255.255.255", "broadcast"},
      {"198.18.0.9", "stand for names"},
      {"198.18.0.0/15", "stand for names"},
      {"@npn", "@npm"},
      {"@", "no such bundle"},
      {"@npm:443", "no such bundle"},
      {"@npn", "no such bundle (did you mean \"@npm\"?)"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    Error error = refusal(c.text);
    CHECK(error.operand == "p.toml:7:3");
    std::string all = error.message() + " / " + error.hint;
    CAPTURE(all);
    CHECK(all.find(c.said) != std::string::npos);
  }
  CHECK(refusal("a\0b"sv).detail.find('\0') == std::string::npos);
  CHECK(refusal("a\x1b[31m").detail.find('\x1b') == std::string::npos);
  CHECK(parse_rules({"*.com", {}}, true).has_value());
  for (const char* deny : {"localhost", "127.0.0.0/8", "169.254.169.254", "198.18.0.0/15"})
    CHECK(parse_rules({deny, {}}, true).has_value());
  for (const char* allow : {"0.0.0.0/0", "10.0.0.0/8", "169.254.0.0/16", "198.0.0.0/8", "::/0",
                            "64:ff9b::/96", "64:ff9b::5db8:d822", "localhost.example.com"})
    CHECK(parse_rules({allow, {}}, false).has_value());
  refusal("*", true);
  auto failed = RuleSet::make(texts({"good.test", "*"}), {});
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().operand == "p.toml:2:5");
}

TEST_CASE("a set is bounded") {
  std::vector<RuleText> many(RuleSet::kMaxRules, RuleText{"a.test", {}});
  CHECK(RuleSet::make(many, {}).has_value());
  many.push_back({"a.test", {}});
  CHECK_FALSE(RuleSet::make(many, {}).has_value());
}
