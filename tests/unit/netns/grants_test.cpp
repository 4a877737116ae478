#include "netns/grants.h"

#include <doctest/doctest.h>

using namespace dirbox;
using namespace dirbox::netns;

namespace {

NetworkSpec start_spec() {
  NetworkSpec spec;
  spec.mode = Mode::proxy;
  spec.allow = {{"a.test", {"p.toml", 1, 1}}, {"*.w.test", {"p.toml", 2, 1}}};
  spec.deny = {{"no.test", {"p.toml", 3, 1}}, {"half.test:80", {"p.toml", 4, 1}}};
  return spec;
}

bool allows(const Grants& grants, const char* host, std::uint16_t port) {
  auto set = RuleSet::make(grants.allow(), grants.deny());
  REQUIRE(set);
  return set->decide(*parse_host(host), port).allowed;
}

const Grants::Clock::time_point kNow{};
constexpr std::chrono::seconds kMinute{60};

}  // namespace

TEST_CASE("a grant opens what it names, and no more") {
  NetworkSpec spec = start_spec();
  Grants grants(spec);
  CHECK_FALSE(allows(grants, "b.test", 443));
  REQUIRE(grants.grant("b.test:443", {}));
  CHECK(allows(grants, "b.test", 443));
  CHECK_FALSE(allows(grants, "b.test", 80));
  CHECK_FALSE(allows(grants, "x.b.test", 443));
  CHECK(allows(grants, "a.test", 80));
  CHECK(grants.allow().back().origin.text() == "dirbox grant");
}

TEST_CASE("a wrong or refused grant changes nothing") {
  NetworkSpec spec = start_spec();
  Grants grants(spec);
  for (const char* wrong : {"", "*", "*.com", "https://b.test/", "b.test:0", "@nonesuch", "no.test",
                            "no.test:22", "half.test:80"}) {
    CAPTURE(wrong);
    auto granted = grants.grant(wrong, {});
    CHECK_FALSE(granted);
    CHECK(grants.list().size() == 4);
  }
  REQUIRE(grants.grant("half.test", {}));
  CHECK(allows(grants, "half.test", 443));
  CHECK_FALSE(allows(grants, "half.test", 80));
}

TEST_CASE("a wildcard or a network that is refused altogether is said to be") {
  NetworkSpec spec = start_spec();
  spec.deny.push_back({"*.no.test", {}});
  spec.deny.push_back({"10.0.0.0/8:443", {}});
  Grants grants(spec);
  for (const char* wrong : {"*.no.test", "*.sub.no.test", "10.1.0.0/16:443", "10.0.0.0/8:443"}) {
    CAPTURE(wrong);
    auto granted = grants.grant(wrong, {});
    REQUIRE_FALSE(granted);
    CHECK(granted.error().detail.find("refuses it") != std::string::npos);
  }
  CHECK(grants.allow() == spec.allow);
  for (const char* right : {"*.nono.test", "10.1.0.0/16", "11.0.0.0/8:443"}) {
    CAPTURE(right);
    CHECK(grants.grant(right, {}));
  }
  REQUIRE(grants.revoke("*.w.test"));
  auto granted = grants.grant("*.x.w.test", {});
  REQUIRE_FALSE(granted);
  CHECK(granted.error().hint.find("*.w.test") != std::string::npos);
}

TEST_CASE("a revocation wins over the start, and a grant over an earlier revocation") {
  NetworkSpec spec = start_spec();
  Grants grants(spec);
  REQUIRE(grants.revoke("a.test"));
  CHECK_FALSE(allows(grants, "a.test", 443));
  REQUIRE(grants.grant("a.test:443", {}));
  CHECK(allows(grants, "a.test", 443));
  CHECK_FALSE(allows(grants, "a.test", 80));
  REQUIRE(grants.revoke("x.w.test:443"));
  CHECK_FALSE(allows(grants, "x.w.test", 443));
  CHECK(allows(grants, "x.w.test", 80));
  CHECK(allows(grants, "y.w.test", 443));
  REQUIRE(grants.revoke("*.w.test"));
  CHECK_FALSE(allows(grants, "y.w.test", 443));
  auto granted = grants.grant("y.w.test", {});
  REQUIRE_FALSE(granted);
  CHECK(granted.error().hint.find("*.w.test") != std::string::npos);
  CHECK_FALSE(grants.revoke("*."));
}

TEST_CASE("revoking a grant leaves no trace where nothing else allows it") {
  NetworkSpec spec = start_spec();
  Grants grants(spec);
  REQUIRE(grants.grant("b.test", {}));
  REQUIRE(grants.revoke("b.test"));
  CHECK(grants.allow() == spec.allow);
  CHECK(grants.deny() == spec.deny);
  REQUIRE(grants.grant("b.test:8000-8010", {}));
  REQUIRE(grants.revoke("b.test:8005"));
  CHECK(allows(grants, "b.test", 8004));
  CHECK_FALSE(allows(grants, "b.test", 8005));
  CHECK(allows(grants, "b.test", 8006));
  REQUIRE(grants.grant("192.0.2.7:443", {}));
  REQUIRE(grants.revoke("192.0.2.7"));
  CHECK_FALSE(allows(grants, "192.0.2.7", 443));
  CHECK(grants.deny() == spec.deny);
}

TEST_CASE("a grant ends when its time is over; the last word about it counts") {
  NetworkSpec spec = start_spec();
  Grants grants(spec);
  CHECK_FALSE(grants.next_expiry());
  REQUIRE(grants.grant("b.test", kNow + kMinute));
  REQUIRE(grants.grant("c.test", kNow + 2 * kMinute));
  CHECK(grants.next_expiry() == kNow + kMinute);
  CHECK(grants.expire(kNow).empty());
  CHECK(grants.expire(kNow + kMinute) == std::vector<std::string>{"b.test"});
  CHECK_FALSE(allows(grants, "b.test", 443));
  CHECK(allows(grants, "c.test", 443));
  REQUIRE(grants.grant("c.test", {}));
  CHECK_FALSE(grants.next_expiry());
  CHECK(grants.expire(kNow + 9 * kMinute).empty());
  CHECK(allows(grants, "c.test", 443));
}

TEST_CASE("a grant that ends leaves an earlier revocation as it was") {
  NetworkSpec spec = start_spec();
  Grants grants(spec);
  REQUIRE(grants.revoke("a.test"));
  REQUIRE(grants.grant("a.test:443", kNow + kMinute));
  CHECK(allows(grants, "a.test", 443));
  CHECK_FALSE(allows(grants, "a.test", 80));
  CHECK(grants.expire(kNow).empty());
  CHECK(allows(grants, "a.test", 443));
  CHECK(grants.expire(kNow + kMinute) == std::vector<std::string>{"a.test:443"});
  CHECK_FALSE(allows(grants, "a.test", 443));
  CHECK_FALSE(allows(grants, "a.test", 80));
  CHECK(grants.allow() == spec.allow);
  // A longer one counts, and one without an end undoes the revocation.
  REQUIRE(grants.grant("a.test", kNow + 2 * kMinute));
  REQUIRE(grants.grant("a.test", kNow + 3 * kMinute));
  CHECK(grants.expire(kNow + 2 * kMinute).empty());
  CHECK(allows(grants, "a.test", 443));
  REQUIRE(grants.grant("a.test", {}));
  CHECK(grants.expire(kNow + 9 * kMinute).empty());
  CHECK(allows(grants, "a.test", 443));
  // And a revocation in the meantime is one.
  REQUIRE(grants.revoke("a.test"));
  REQUIRE(grants.grant("a.test", kNow + kMinute));
  REQUIRE(grants.revoke("a.test:80"));
  CHECK_FALSE(allows(grants, "a.test", 80));
  CHECK(allows(grants, "a.test", 443));
  CHECK(grants.expire(kNow + kMinute) == std::vector<std::string>{"a.test:443"});
  CHECK_FALSE(allows(grants, "a.test", 80));
  CHECK_FALSE(allows(grants, "a.test", 443));
}

TEST_CASE("what cannot work before a restart is said") {
  NetworkSpec spec = start_spec();
  spec.allow.push_back({"mail.test:25", {}});
  spec.allow.push_back({"10.0.0.0/8:443", {}});
  Grants grants(spec);
  auto notes = [&](const char* rule) {
    auto granted = grants.grant(rule, {});
    REQUIRE(granted);
    return granted->size();
  };
  CHECK(notes("b.test:22") == 0);
  CHECK(notes("b.test:25") == 0);
  CHECK(notes("b.test:5432") == 0);
  CHECK(notes("b.test:26") == 1);
  CHECK(notes("b.test:1-65535") == 1);
  CHECK(notes("10.1.2.3:443") == 0);
  CHECK(notes("192.0.2.1:443") == 1);
}

TEST_CASE("bundles are granted and revoked whole") {
  NetworkSpec spec = start_spec();
  Grants grants(spec);
  REQUIRE(grants.grant("@anthropic", {}));
  CHECK(allows(grants, "api.anthropic.com", 443));
  REQUIRE(grants.revoke("api.anthropic.com"));
  CHECK_FALSE(allows(grants, "api.anthropic.com", 443));
  CHECK(allows(grants, "claude.ai", 443));
  REQUIRE(grants.revoke("@anthropic"));
  CHECK(grants.allow() == spec.allow);
}
