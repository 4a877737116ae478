#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>

#include "netns/dialer.h"
#include "netns/socket_address.h"

using namespace dirbox;
using namespace dirbox::netns;
using namespace std::chrono_literals;

namespace {

std::vector<IpAddress> addresses(std::initializer_list<const char*> texts) {
  std::vector<IpAddress> out;
  for (const char* text : texts) out.push_back(*parse_ip(text));
  return out;
}

/// A dialer whose resolver answers what the test says.
struct World {
  EventLoop loop = *EventLoop::make();
  std::atomic<int> lookups = 0;
  std::function<Result<Resolver::Addresses>(int nth)> answer;
  NetworkSpec spec;
  std::unique_ptr<Resolver> resolver;
  std::unique_ptr<Dialer> dialer;
  std::shared_ptr<const RuleSet> rules;

  explicit World(std::initializer_list<const char*> allowed) {
    std::vector<RuleText> allow;
    for (const char* text : allowed) allow.push_back({text, {}});
    resolver =
        *Resolver::make(loop, [this](const std::string&) { return answer(lookups.fetch_add(1)); });
    dialer = std::make_unique<Dialer>(loop, *resolver, spec, ParentChoice());
    rules = std::make_shared<const RuleSet>(*RuleSet::make(allow, {}));
  }
  DialResult dial(const char* name, std::uint16_t port) {
    std::optional<DialResult> out;
    dialer->dial(*parse_hostname(name), port, rules, DialFor::tunnel,
                 [&](DialResult result) { out = std::move(result); });
    CHECK_FALSE(out);  // never from within
    while (!out) REQUIRE(loop.run_once(10s));
    return std::move(*out);
  }
};

struct Server {
  UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  std::uint16_t port = 0;
  Server() {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(fd.get(), 8) == 0);
    port = local_endpoint(fd.get())->port;
  }
  bool visited() { return UniqueFd(::accept(fd.get(), nullptr, nullptr)).valid(); }
};

}  // namespace

TEST_CASE("a name that resolves to what no name may reach is not dialled") {
  Server server;
  World world({"allowed.test:1-65535"});
  for (const char* address :
       {"127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.169.254", "10.0.0.1",
        "192.168.1.1", "172.16.0.1", "100.64.0.1", "fe80::1", "fd00::1", "fd00:ec2::254",
        "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "255.255.255.255", "198.18.0.1",
        "::127.0.0.1"}) {
    CAPTURE(address);
    world.answer = [&](int) { return Result<Resolver::Addresses>(addresses({address})); };
    std::string name = "n" + std::to_string(std::hash<std::string_view>{}(address)) + ".test";
    auto got = world.dial(name.c_str(), server.port);
    REQUIRE_FALSE(got);
    CHECK(got.error().cause == Cause::guarded_address);
  }
  CHECK_FALSE(server.visited());
}

TEST_CASE("one refused address among good ones refuses them all") {
  Server server;
  World world({"mixed.test"});
  world.answer = [&](int) {
    return Result<Resolver::Addresses>(addresses({"1.1.1.1", "127.0.0.1"}));
  };
  auto got = world.dial("mixed.test", server.port);
  REQUIRE_FALSE(got);
  CHECK(got.error().cause == Cause::guarded_address);
  CHECK_FALSE(server.visited());
}

TEST_CASE("rebinding: the answer that was checked is the answer that is dialled") {
  Server server;
  World world({"rebind.test"});
  // A second lookup would give the loopback; there must be none between check and connect.
  world.answer = [&](int nth) {
    return Result<Resolver::Addresses>(addresses({nth == 0 ? "192.0.2.1" : "127.0.0.1"}));
  };
  auto got = world.dial("rebind.test", server.port);
  REQUIRE_FALSE(got);  // 192.0.2.1 is documentation space: guarded
  CHECK(world.lookups == 1);
  CHECK_FALSE(server.visited());
}

TEST_CASE("a rule that is an address opens that private address, also behind a name") {
  World world({"corp.test", "10.255.255.254:9"});
  world.spec.limits.connect_timeout = 1s;
  world.answer = [&](int) { return Result<Resolver::Addresses>(addresses({"10.255.255.254"})); };
  auto ticket = world.dialer->dial(*parse_hostname("corp.test"), 9, world.rules, DialFor::tunnel,
                                   [&](DialResult result) {
                                     // Whatever the network does with it, the guard let it pass.
                                     if (!result)
                                       CHECK(result.error().cause != Cause::guarded_address);
                                   });
  for (int i = 0; i < 20; ++i) REQUIRE(world.loop.run_once(5ms));
  world.dialer->cancel(ticket);
}

TEST_CASE("resolver failures and timeouts are told apart") {
  World world({"a.test"});
  world.answer = [](int) -> Result<Resolver::Addresses> {
    return fail_errno("resolve", "", ENOENT);
  };
  auto got = world.dial("a.test", 443);
  REQUIRE_FALSE(got);
  CHECK(got.error().cause == Cause::resolve_failed);
}

TEST_CASE("net_map dials its address, for that name and port only") {
  Server server;
  World world({"a.test"});
  world.spec.net_map = {{"a.test", 443, "127.0.0.1", server.port}};
  world.answer = [](int) -> Result<Resolver::Addresses> {
    return fail_errno("resolve", "", ENOENT);
  };
  auto got = world.dial("a.test", 443);
  REQUIRE(got);
  CHECK(server.visited());
  CHECK_FALSE(world.dial("a.test", 80));
  CHECK_FALSE(world.dial("b.a.test", 443));
}

TEST_CASE("a cancelled dial does not call back") {
  World world({"a.test"});
  world.answer = [](int) { return Result<Resolver::Addresses>(addresses({"127.0.0.1"})); };
  auto ticket = world.dialer->dial(*parse_hostname("a.test"), 443, world.rules, DialFor::tunnel,
                                   [](DialResult) { FAIL("called"); });
  world.dialer->cancel(ticket);
  for (int i = 0; i < 10; ++i) REQUIRE(world.loop.run_once(2ms));
}

TEST_CASE("servers that never answer hold one socket each, and few beyond that") {
  // On both loopback addresses a listener whose queue is full: connect(2) neither succeeds nor
  // fails.
  std::vector<UniqueFd> held;
  std::uint16_t port = 0;
  for (const char* text : {"127.0.0.1", "::1"}) {
    SocketAddress at = socket_address(*parse_ip(text), port);
    const int family = at.storage.ss_family;
    UniqueFd deaf(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(deaf.get(), at.get(), at.length) != 0) return;  // no ::1, or the port is taken there
    REQUIRE(::listen(deaf.get(), 0) == 0);
    port = local_endpoint(deaf.get())->port;
    at = socket_address(*parse_ip(text), port);
    for (int i = 0; i < 4; ++i) {
      UniqueFd client(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      const bool taken = ::connect(client.get(), at.get(), at.length) == 0;
      CHECK((taken || errno == EINPROGRESS));
      held.push_back(std::move(client));
    }
    held.push_back(std::move(deaf));
  }
  auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  constexpr int kDials = 300;
  World world({});
  const auto before = open_files();
  int ended = 0;
  for (int i = 0; i < kDials; ++i)
    world.dialer->dial_host_loopback(port, [&](const DialResult&) { ++ended; });
  bool over = false;
  world.loop.after(3 * Dialer::kAttemptDelay, [&] { over = true; });
  while (!over) REQUIRE(world.loop.run_once(10s));
  CHECK(ended == 0);
  const auto opened = open_files() - before;
  CHECK(opened > kDials);
  CHECK(opened <= kDials + static_cast<int>(Dialer::kSpareSockets));
}

TEST_CASE("when the host's own addresses cannot be read, nothing is dialled") {
  World world({"own.test"});
  world.answer = [](int) { return Result<Resolver::Addresses>(addresses({"1.1.1.1"})); };
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none{0, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  auto got = world.dial("own.test", 443);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE_FALSE(got);
  CHECK(got.error().cause == Cause::connect_failed);
  CHECK(got.error().error.message().find("own addresses") != std::string::npos);
  CHECK(host_addresses());
}

TEST_CASE("a name that nobody waits for any more is not looked up") {
  struct Lookups {
    std::mutex hang;  // and of `names`
    std::vector<std::string> names;
    std::atomic<int> begun = 0;
  };
  auto lookups = std::make_shared<Lookups>();  // the workers may outlive this test
  EventLoop loop = *EventLoop::make();
  std::unique_lock held(lookups->hang);
  auto resolver = *Resolver::make(loop, [lookups](const std::string& name) {
    ++lookups->begun;
    std::lock_guard wait(lookups->hang);
    lookups->names.push_back(name);
    return Result<Resolver::Addresses>(addresses({"1.1.1.1"}));
  });
  auto ask = [&](const std::string& name, std::chrono::milliseconds patience = 1min) {
    return resolver->resolve(*parse_hostname(name), patience, [](auto&) {});
  };
  for (int i = 0; i < Resolver::kWorkers; ++i) ask("busy" + std::to_string(i) + ".test");
  while (lookups->begun < Resolver::kWorkers) std::this_thread::yield();
  auto left = ask("left.test"), shared = ask("shared.test");
  ask("late.test", 0ms);
  ask("shared.test");
  ask("wanted.test");
  resolver->cancel(left);
  resolver->cancel(shared);
  REQUIRE(loop.run_once(10ms));
  while (lookups->names.size() < Resolver::kWorkers + 2) {
    held.unlock();
    std::this_thread::yield();
    held.lock();
  }
  for (const std::string& name : lookups->names) {
    CHECK((name != "left.test" && name != "late.test"));
  }
}

TEST_CASE("families alternate") {
  auto got = interleave_families(addresses({"2001:db8::1", "2001:db8::2", "1.1.1.1", "1.0.0.1"}));
  CHECK(got == addresses({"2001:db8::1", "1.1.1.1", "2001:db8::2", "1.0.0.1"}));
}

TEST_CASE("parent proxy URLs and NO_PROXY") {
  auto parent = parse_parent_url("http://user:p%40ss@proxy.corp:3128/");
  REQUIRE(parent);
  CHECK(host_text(parent->host) == "proxy.corp");
  CHECK(parent->port == 3128);
  CHECK(parent->authorization == "Basic dXNlcjpwQHNz");
  CHECK(parse_parent_url("10.0.0.1:8080")->port == 8080);
  for (const char* bad :
       {"https://proxy:1", "socks5://proxy:1", "http://", "http://a%2:b@p", "http://p:0"}) {
    auto got = parse_parent_url(bad);
    REQUIRE_FALSE(got);
    CHECK(got.error().message().find("a%2") == std::string::npos);
  }
  auto covers = [](const char* list, const char* host, std::uint16_t port = 443) {
    return no_proxy_covers(list, *parse_host(host), port);
  };
  CHECK(covers("localhost, .corp.test", "a.corp.test"));
  CHECK(covers("corp.test", "corp.test"));
  CHECK(covers("*.corp.test", "a.b.corp.test"));
  CHECK_FALSE(covers("corp.test", "evilcorp.test"));
  CHECK(covers("10.0.0.0/8", "10.1.2.3"));
  CHECK_FALSE(covers("10.0.0.0/8", "11.1.2.3"));
  CHECK(covers("*", "a.test"));
  CHECK(covers("a.test:443", "a.test"));
  CHECK_FALSE(covers("a.test:80", "a.test"));
  CHECK_FALSE(covers("", "a.test"));
}
