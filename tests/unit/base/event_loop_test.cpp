#include "launcher/base/event_loop.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "launcher/base/unix_socket.h"

using namespace dirbox;
using namespace std::chrono_literals;

TEST_CASE("a source removed by an earlier callback of the same batch is not called") {
  auto loop = EventLoop::make();
  REQUIRE(loop);
  auto a = make_socket_pair(), b = make_socket_pair();
  REQUIRE(a);
  REQUIRE(b);
  int calls = 0;
  auto once = [&](std::uint32_t) {
    ++calls;
    loop->remove(a->ours.get());
    loop->remove(b->ours.get());
  };
  REQUIRE(loop->add(a->ours.get(), EPOLLIN, once));
  REQUIRE(loop->add(b->ours.get(), EPOLLIN, once));
  REQUIRE(send_message(a->theirs.get(), as_bytes_of('x')));
  REQUIRE(send_message(b->theirs.get(), as_bytes_of('x')));
  REQUIRE(loop->run_once(0ms));
  CHECK(calls == 1);
}

TEST_CASE("timers run in order and can be cancelled") {
  auto loop = EventLoop::make();
  REQUIRE(loop);
  std::string order;
  loop->after(2ms, [&] { order += "b", loop->stop(); });
  loop->after(1ms, [&] { order += "a"; });
  auto gone = loop->after(1ms, [&] { order += "x"; });
  loop->cancel(gone);
  REQUIRE(loop->run());
  CHECK(order == "ab");
}

TEST_CASE("descriptors cross a socket; too many are refused") {
  auto pair = make_socket_pair();
  REQUIRE(pair);
  int fds[] = {0, 1};
  REQUIRE(send_message(pair->ours.get(), as_bytes_of('x'), fds));
  auto got = receive_message(pair->theirs.get(), 16, 2);
  REQUIRE(got);
  CHECK(got->fds.size() == 2);
  REQUIRE(send_message(pair->ours.get(), as_bytes_of('x'), fds));
  CHECK_FALSE(receive_message(pair->theirs.get(), 16, 1));
  REQUIRE(send_message(pair->ours.get(), as_bytes_of(std::uint64_t{1})));
  CHECK_FALSE(receive_message(pair->theirs.get(), 4, 1));
}

TEST_CASE("a watched descriptor changes hands") {
  EventLoop loop = *EventLoop::make();
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
  UniqueFd reader(fds[0]), writer(fds[1]);
  int first = 0, second = 0, third = 0;
  REQUIRE(loop.add(reader.get(), EPOLLIN, [&](std::uint32_t) {
    ++first;
    REQUIRE(loop.hand_over(reader.get(), [&](std::uint32_t) { ++second; }));
  }));
  REQUIRE(::write(writer.get(), "x", 1) == 1);
  REQUIRE(loop.run_once(std::chrono::milliseconds(0)));
  REQUIRE(loop.run_once(std::chrono::milliseconds(0)));
  CHECK(first == 1);
  CHECK(second == 1);
  REQUIRE(loop.add(reader.get(), EPOLLIN, [&](std::uint32_t) { ++third; }));
  REQUIRE(loop.run_once(std::chrono::milliseconds(0)));
  CHECK(second == 1);
  CHECK(third == 1);
  loop.forget(reader.get());
  REQUIRE(loop.run_once(std::chrono::milliseconds(0)));
  CHECK(third == 1);
  CHECK_FALSE(loop.hand_over(reader.get(), [](std::uint32_t) {}));
}

TEST_CASE("a descriptor whose number was watched and closed is watched") {
  EventLoop loop = *EventLoop::make();
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
  REQUIRE(loop.add(fds[0], EPOLLIN, [](std::uint32_t) {}));
  ::close(fds[0]);
  ::close(fds[1]);
  int again[2];
  REQUIRE(::pipe2(again, O_CLOEXEC | O_NONBLOCK) == 0);
  REQUIRE(again[0] == fds[0]);
  UniqueFd reader(again[0]), writer(again[1]);
  int calls = 0;
  REQUIRE(loop.add(reader.get(), EPOLLIN, [&](std::uint32_t) { ++calls; }));
  REQUIRE(::write(writer.get(), "x", 1) == 1);
  REQUIRE(loop.run_once(std::chrono::milliseconds(0)));
  CHECK(calls == 1);
}

TEST_CASE("a loop that stays awake takes what comes, keeps its timers, and gives up") {
  EventLoop loop = *EventLoop::make();
  loop.stay_awake(std::chrono::minutes(10));
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
  UniqueFd reader(fds[0]), writer(fds[1]);
  int calls = 0;
  REQUIRE(loop.add(reader.get(), EPOLLIN, [&](std::uint32_t) {
    char byte;
    REQUIRE(::read(reader.get(), &byte, 1) == 1);
    ++calls;
  }));
  REQUIRE(::write(writer.get(), "x", 1) == 1);
  REQUIRE(loop.run_once(std::chrono::milliseconds(-1)));  // awake from here on
  std::thread later([&] { REQUIRE(::write(writer.get(), "x", 1) == 1); });
  while (calls == 1) REQUIRE(loop.run_once(std::chrono::milliseconds(-1)));
  later.join();
  CHECK(calls == 2);
  bool rang = false;
  loop.after(std::chrono::milliseconds(1), [&] { rang = true; });
  while (!rang) REQUIRE(loop.run_once(std::chrono::milliseconds(-1)));
  REQUIRE(loop.run_once(std::chrono::milliseconds(1)));
  CHECK(calls == 2);
  loop.stay_awake(std::chrono::microseconds(1));
  REQUIRE(::write(writer.get(), "x", 1) == 1);
  REQUIRE(loop.run_once(std::chrono::milliseconds(-1)));
  loop.after(std::chrono::milliseconds(1), [&] { calls = 0; });
  while (calls != 0) REQUIRE(loop.run_once(std::chrono::milliseconds(-1)));
}
