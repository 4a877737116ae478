#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <cstring>

#include "launcher/base/unix_socket.h"
#include "netns/denial.h"
#include "netns/fake_table.h"
#include "netns/proxy_control.h"
#include "netns/socket_request.h"

using namespace dirbox;
using namespace dirbox::netns;

namespace {

SocketRequest listen_request(const char* address, std::uint16_t port) {
  SocketRequest request;
  request.verb = SocketVerb::listen;
  request.family = 4;
  request.port = port;
  REQUIRE(::inet_pton(AF_INET, address, request.address.data()) == 1);
  return request;
}

}  // namespace

TEST_CASE("init makes listeners on fake addresses and high ports only") {
  for (auto [address, port] : {std::pair{"127.0.0.1", 5432},
                               {"0.0.0.0", 5432},
                               {"10.0.0.1", 5432},
                               {"198.17.255.255", 5432},
                               {"198.20.0.0", 5432},
                               {"198.18.0.1", 443}}) {
    auto made = make_requested_socket(listen_request(address, static_cast<std::uint16_t>(port)));
    REQUIRE_FALSE(made);
    CHECK(made.error().err == EACCES);
  }
  SocketRequest odd = listen_request("198.18.0.1", 5432);
  odd.family = 6;
  CHECK_FALSE(make_requested_socket(odd));
  odd.verb = static_cast<SocketVerb>(9);
  CHECK_FALSE(make_requested_socket(odd));
}

TEST_CASE("requests of another size are answered with EINVAL, an end of file ends the service") {
  auto pair = make_socket_pair();
  REQUIRE(pair);
  REQUIRE(send_message(pair->ours.get(), as_bytes_of(std::uint32_t{7})));
  REQUIRE(*serve_socket_request(pair->theirs.get()));
  auto answer = receive_message(pair->ours.get(), sizeof(SocketReply), 1);
  REQUIRE(answer);
  SocketReply reply;
  REQUIRE(answer->bytes.size() == sizeof reply);
  std::memcpy(&reply, answer->bytes.data(), sizeof reply);
  CHECK(reply.err == EINVAL);
  CHECK(answer->fds.empty());
  pair->ours.reset();
  CHECK_FALSE(*serve_socket_request(pair->theirs.get()));
}

TEST_CASE("fake addresses: in order, stable, bounded, found by every spelling") {
  FakeTable table;
  auto a = table.assign(*parse_hostname("a.test")), b = table.assign(*parse_hostname("B.test."));
  CHECK(a->text() == "198.18.0.1");
  CHECK(b->text() == "198.18.0.2");
  CHECK(*table.assign(*parse_hostname("a.test")) == *a);
  CHECK(table.find(*b)->text() == "b.test");
  CHECK(table.find(*parse_ip("::ffff:198.18.0.2"))->text() == "b.test");
  for (const char* other : {"198.18.0.0", "198.18.0.3", "198.19.255.255", "127.0.0.1", "::1"}) {
    CHECK(table.find(*parse_ip(other)) == nullptr);
  }
  for (std::size_t i = 2; i < FakeTable::kMaxNames; ++i) {
    REQUIRE(table.assign(*parse_hostname("n" + std::to_string(i) + ".test")));
  }
  CHECK_FALSE(table.assign(*parse_hostname("late.test")));
  CHECK(table.assign(*parse_hostname("a.test")));
  CHECK(FakeTable::is_fake(*parse_ip("198.19.255.255")));
  CHECK_FALSE(FakeTable::is_fake(*parse_ip("198.20.0.0")));
}

TEST_CASE("reports cross the control socket; what a hostile proxy sends is refused") {
  auto pair = make_socket_pair();
  REQUIRE(pair);
  ProxyReport report;
  report.kind = ProxyReport::Kind::event;
  report.event = {EventKind::denied,     Via::socks, Cause::no_rule, 443,      5,
                  std::string(400, 'h'), "rule",     "p.toml:1:2",   "detail", "--allow x"};
  REQUIRE(send_proxy_report(pair->theirs.get(), report));
  auto got = receive_proxy_report(pair->ours.get());
  REQUIRE(got);
  CHECK((*got)->event.host == std::string(256, 'h'));
  CHECK((*got)->event.cause == Cause::no_rule);
  CHECK((*got)->event.origin == "p.toml:1:2");
  CHECK((*got)->event.fix == "--allow x");
  report.kind = ProxyReport::Kind::count;
  report.count = {"a.test", 1, 2, 3, 4, 5};
  REQUIRE(send_proxy_report(pair->theirs.get(), report));
  got = receive_proxy_report(pair->ours.get());
  REQUIRE(got);
  CHECK((*got)->count.downloaded == 5);
  for (std::size_t size : {1UL, 64UL, 8UL << 10}) {
    REQUIRE(send_message(pair->theirs.get(), std::vector<std::byte>(size, std::byte{0xff})));
    CHECK_FALSE(receive_proxy_report(pair->ours.get()));
  }
  pair->theirs.reset();
  CHECK((*receive_proxy_report(pair->ours.get()))->kind == ProxyReport::Kind::gone);
}

TEST_CASE("orders carry the whole specification") {
  auto pair = make_socket_pair();
  REQUIRE(pair);
  NetworkSpec spec;
  spec.mode = Mode::proxy;
  spec.allow = {{"a.test", {"p.toml", 1, 2}}};
  auto channel = make_socket_pair();
  REQUIRE(channel);
  REQUIRE(send_proxy_start(pair->ours.get(), spec, {}, channel->ours.get()));
  auto start = receive_proxy_start(pair->theirs.get());
  REQUIRE(start);
  CHECK(start->spec == spec);
  CHECK(start->socket_channel.valid());
  REQUIRE(send_proxy_rules(pair->ours.get(), spec.allow, {}, {}));
  auto order = receive_proxy_order(pair->theirs.get());
  REQUIRE(order);
  CHECK(order->rules.allow == spec.allow);
  REQUIRE(send_proxy_finish(pair->ours.get()));
  CHECK(receive_proxy_order(pair->theirs.get())->kind == ProxyOrder::Kind::finish);
}

TEST_CASE("a denial names the option that opens the host, and none where none does") {
  auto rules = RuleSet::make(std::vector<RuleText>{{"a.test", {}}}, {});
  REQUIRE(rules);
  auto fix = [&](const char* host, std::uint16_t port) {
    Host parsed = *parse_host(host);
    return make_denial(rules->decide(parsed, port), parsed, port).fix;
  };
  CHECK(fix("b.test", 443) == "--allow b.test:443");
  CHECK(fix("a.test", 22) == "--allow a.test:22");
  CHECK(fix("b.test", 0) == "--allow b.test");
  CHECK(fix("10.1.2.3", 443) == "--allow 10.1.2.3:443");
  CHECK(fix("[2606:4700::1111]", 443) == "--allow [2606:4700::1111]:443");
  for (const char* here : {"127.0.0.1", "127.9.9.9", "[::1]", "localhost", "x.localhost"}) {
    CAPTURE(here);
    CHECK(fix(here, 5432) == "--host-port 5432");
  }
  for (const char* never : {"169.254.169.254", "0.0.0.0", "224.0.0.1", "198.18.0.9"}) {
    CAPTURE(never);
    CHECK(fix(never, 80).empty());
  }
  Host loopback = *parse_host("127.0.0.1");
  std::string answer = encode_http_denial(make_denial(Verdict{}, loopback, 5432), "c0ffee");
  CHECK(answer.find("X-Dirbox-Fix: --host-port 5432\r\n") != std::string::npos);
  CHECK(answer.find("dirbox grant") == std::string::npos);
}

TEST_CASE("denials: whole messages, no control bytes from rules or details") {
  Denial denial = make_denial(Cause::no_rule, *parse_hostname("x.test"), 443, "a\r\nX-Evil: 1\x1b");
  denial.rule = "r\r\nX-Evil: 2";
  denial.fix = "--allow x.test:443";
  std::string answer = encode_http_denial(denial, "c0ffee");
  CHECK(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"));
  CHECK(answer.find("\r\nX-Evil") == std::string::npos);
  CHECK(answer.find('\x1b') == std::string::npos);
  auto body = answer.find("\r\n\r\n") + 4;
  CHECK(answer.find("Content-Length: " + std::to_string(answer.size() - body)) !=
        std::string::npos);
  CHECK(encode_http_denial(denial, "c0ffee", false).ends_with("\r\n\r\n"));
  for (std::size_t extra = 0; extra < 20; ++extra) {
    denial.fix = std::string(extra, 'x');
    std::string ssh = encode_ssh_denial(denial).substr(std::strlen("SSH-2.0-dirbox\r\n"));
    CHECK(ssh.size() % 8 == 0);
    CHECK(static_cast<unsigned char>(ssh[4]) >= 4);
  }
  CHECK(encode_tls_denial(denial).size() == 7);
  CHECK(
      event_of(make_denial(Cause::connect_failed, *parse_hostname("x.test"), 1), Via::http).kind ==
      EventKind::failed);
}
