#include "netns/relay.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

using namespace dirbox;
using namespace dirbox::netns;
using namespace std::chrono_literals;

namespace {

struct Ends {
  UniqueFd test, relay;
};
Ends make_ends() {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

struct World {
  EventLoop loop = *EventLoop::make();
  PipePool pipes;
  int finished = 0;
  Cause cause = Cause::none;
  RelayContext context{loop, pipes, 1s, [this](Relay&, Cause c) { ++finished, cause = c; }};
  Budget budget;
  NameState name;
  Ends client = make_ends(), server = make_ends();
  int client_fd = client.relay.get();
  Relay relay;

  explicit World(const NameLimits& limits = {})
      : budget(limits),
        name(&budget),
        relay(context, std::move(client.relay), std::move(server.relay), name) {}
  void turn(int times = 5) {
    for (int i = 0; i < times; ++i) REQUIRE(loop.run_once(0ms));
  }
  static std::string read(int fd) {
    char buffer[1 << 16];
    ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0) return errno == EAGAIN ? "<none>" : "<error>";
    return n == 0 ? "<end>" : std::string(buffer, static_cast<std::size_t>(n));
  }
  static void write(int fd, std::string_view bytes) {
    REQUIRE(::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
};

}  // namespace

TEST_CASE("bytes pass both ways, each end passes on after the last byte") {
  World w;
  w.relay.start();
  World::write(w.client.test.get(), "up");
  World::write(w.server.test.get(), "down");
  w.turn();
  CHECK(World::read(w.server.test.get()) == "up");
  CHECK(World::read(w.client.test.get()) == "down");
  World::write(w.client.test.get(), "last");
  REQUIRE(::shutdown(w.client.test.get(), SHUT_WR) == 0);
  w.turn();
  CHECK(World::read(w.server.test.get()) == "last");
  CHECK(World::read(w.server.test.get()) == "<end>");
  CHECK(w.finished == 0);
  World::write(w.server.test.get(), "still");
  w.turn();
  CHECK(World::read(w.client.test.get()) == "still");
  w.server.test.reset();
  w.turn();
  CHECK(w.finished == 1);
  CHECK(w.name.count.uploaded == 6);
  CHECK(w.name.count.downloaded == 9);
}

TEST_CASE("a sink that is full stops its source and nothing is lost") {
  World w;
  w.relay.start();
  std::string block(1 << 14, 'x');
  std::size_t sent = 0, idle = 0;
  while (idle < 20) {
    ssize_t n = ::write(w.client.test.get(), block.data(), block.size());
    if (n > 0) sent += static_cast<std::size_t>(n);
    idle = n > 0 ? 0 : idle + 1;
    w.turn(1);
  }
  CHECK(sent < (8U << 20));
  REQUIRE(::shutdown(w.client.test.get(), SHUT_WR) == 0);
  std::size_t got = 0;
  for (std::string piece; piece != "<end>"; got += piece.size()) {
    w.turn(1);
    piece = World::read(w.server.test.get());
    if (piece == "<none>" || piece == "<end>") got -= piece.size();
  }
  CHECK(got == sent);
}

TEST_CASE("a broken peer ends the relay once") {
  World w;
  w.relay.start();
  World::write(w.server.test.get(), "unread");
  w.turn();
  w.client.test.reset();  // with unread bytes
  World::write(w.server.test.get(), "more");
  w.turn(10);
  CHECK(w.finished == 1);
}

TEST_CASE("idle relays end, busy ones stay") {
  World w;
  w.relay.start();
  auto now = Relay::Clock::now();
  w.relay.check_idle(now + 900ms);
  CHECK(w.finished == 0);
  w.relay.check_idle(now + 1500ms);
  CHECK(w.finished == 1);
  CHECK(w.cause == Cause::timeout);
}

TEST_CASE("the byte limit passes exactly its bytes; an end of stream does not break it") {
  World w({"a.test", 5, 0, 0});
  w.relay.start();
  World::write(w.client.test.get(), "12345");
  w.turn();
  CHECK(World::read(w.server.test.get()) == "12345");
  SUBCASE("one byte more") {
    World::write(w.client.test.get(), "6");
    w.turn();
    CHECK(w.finished == 1);
    CHECK(w.cause == Cause::byte_limit);
    CHECK(w.name.count.uploaded == 5);
  }
  SUBCASE("end") {
    REQUIRE(::shutdown(w.client.test.get(), SHUT_WR) == 0);
    w.turn();
    CHECK(World::read(w.server.test.get()) == "<end>");
    CHECK(w.finished == 0);
  }
}

TEST_CASE("limits of a name: exact before wildcard, more labels before fewer; names share one") {
  auto made = Counters::make({{"*.test", 1, 0, 0}, {"*.a.test", 2, 0, 0}, {"b.a.test", 3, 0, 0}});
  REQUIRE(made);
  auto left = [&](const char* name) {
    return made->of(*parse_hostname(name)).allowance(Direction::up, Budget::Clock::now());
  };
  CHECK(left("b.a.test") == 3);
  CHECK(left("c.a.test") == 2);
  CHECK(left("d.test") == 1);
  CHECK(left("example.com") == UINT64_MAX);
  for (std::size_t i = 0; i < Counters::kMaxNames + 10; ++i) {
    made->of(*parse_hostname("n" + std::to_string(i) + ".com")).count.connections = 1;
  }
  CHECK(made->summary().size() <= Counters::kMaxNames + 1);  // "(other)"
  CHECK(left("late.test") == 1);
  made->of(*parse_hostname("c.a.test")).spend(Direction::up, 1);
  CHECK(left("e.a.test") == 1);
  CHECK(left("b.a.test") == 3);
  CHECK_FALSE(made->used_up(*parse_hostname("f.a.test")));
  made->of(*parse_hostname("g.a.test")).spend(Direction::up, 1);
  CHECK(made->used_up(*parse_hostname("f.a.test")));
  CHECK_FALSE(made->used_up(*parse_hostname("b.a.test")));
  CHECK_FALSE(made->used_up(*parse_hostname("example.com")));
  CHECK_FALSE(Counters::make({{"*", 1, 0, 0}}));
}

TEST_CASE("what a peer sent before it broke the connection still arrives") {
  World w;
  w.relay.start();
  World::write(w.client.test.get(), "never read");
  w.turn();
  World::write(w.server.test.get(), "answer");
  w.server.test.reset();  // with unread bytes: a reset
  w.turn();
  CHECK(World::read(w.client.test.get()) == "answer");
  CHECK(w.finished == 1);
}

TEST_CASE("a relay takes over a client that the loop watches already") {
  World w;
  int calls = 0;
  int client = w.client_fd;
  REQUIRE(w.loop.add(client, Relay::kReadable, [&](std::uint32_t) { ++calls; }));
  w.relay.start(true);
  World::write(w.client.test.get(), "up");
  w.turn();
  CHECK(World::read(w.server.test.get()) == "up");
  CHECK(calls == 0);
}
