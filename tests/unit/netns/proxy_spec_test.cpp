#include <doctest/doctest.h>

#include "netns/spec.h"

using namespace dirbox;
using namespace dirbox::netns;

TEST_CASE("a specification survives JSON") {
  NetworkSpec spec;
  spec.mode = Mode::proxy;
  spec.allow = {{"example.com", {"a.toml", 3, 5}}, {"ws.test:80", {}}};
  spec.deny = {{"*.bad.test", {}}};
  spec.upgrade = {{"ws.test:80", {}}};
  spec.name_limits = {{"*.example.com", 1, 1ULL << 40, 3}};
  spec.net_map = {{"allowed.test", 443, "127.0.0.1", 8443}};
  spec.tls = TlsCheck::allow_no_sni;
  spec.tls_ports = {443, 8443};
  spec.host_ports = {{80, 8080}};
  spec.publish = {{"::1", 0, 3000}};
  spec.parent = {"http://u:p@proxy:3128", "", "localhost"};
  spec.limits.idle_timeout = std::chrono::seconds(7);
  auto text = spec_to_json(spec).dump();
  auto json = Json::parse(text);
  REQUIRE(json);
  auto back = spec_from_json(*json);
  REQUIRE(back);
  CHECK(*back == spec);
}

TEST_CASE("a specification with an unknown or ill-typed member is refused by name") {
  for (auto [text, where] : {std::pair{R"({"modes":"none"})", "modes"},
                             {R"({"mode":"some"})", "mode"},
                             {R"({"allow":[{"text":1}]})", "allow[0].text"},
                             {R"({"proxy_port":65536})", "proxy_port"},
                             {R"({"limits":{"idle_timeout":0}})", "limits.idle_timeout"}}) {
    auto got = spec_from_json(*Json::parse(text));
    REQUIRE_FALSE(got);
    CHECK(got.error().message().find(where) != std::string::npos);
  }
}

TEST_CASE("proxy variables name loopback as direct, and can be turned off") {
  NetworkSpec spec;
  CHECK(proxy_environment(spec).empty());
  spec.mode = Mode::proxy;
  bool seen = false;
  for (const ProxyVariable& v : proxy_environment(spec)) {
    if (v.name == "NO_PROXY") seen = v.value.find("127.0.0.1") != std::string::npos;
    CHECK_FALSE(v.why.empty());
  }
  CHECK(seen);
  spec.set_environment = false;
  CHECK(proxy_environment(spec).empty());
}

TEST_CASE("--net-map, --host-port and --publish") {
  auto map = parse_net_map("allowed.test:443=[::1]:8443");
  REQUIRE(map);
  CHECK(*map == NetMap{"allowed.test", 443, "::1", 8443});
  for (const char* bad :
       {"", "a=b", "a:1=b:2", "a:0=127.0.0.1:1", "a:1=127.0.0.1", ":1=127.0.0.1:1"})
    CHECK_FALSE(parse_net_map(bad));

  CHECK(*parse_port_forward("5432") == PortForward{5432, 5432});
  CHECK(*parse_port_forward("80:8080") == PortForward{80, 8080});
  for (const char* bad : {"", "0", "65536", "a", "1:", ":1", "1:2:3"})
    CHECK_FALSE(parse_port_forward(bad));

  CHECK(*parse_publish("3000") == Publish{"127.0.0.1", 3000, 3000});
  CHECK(*parse_publish("3000:80") == Publish{"127.0.0.1", 3000, 80});
  CHECK(*parse_publish("127.0.0.1:3000") == Publish{"127.0.0.1", 3000, 3000});
  CHECK(*parse_publish("[::1]:3000:80") == Publish{"::1", 3000, 80});
  for (const char* bad : {"", "x:3000", "1:2:3", "[::1]", "[::1]:"})
    CHECK_FALSE(parse_publish(bad));
}
