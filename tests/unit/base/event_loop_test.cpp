#include "launcher/base/event_loop.h"

#include <doctest/doctest.h>

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
