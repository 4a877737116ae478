#include "launcher/base/unix_socket.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tests/support/scratch.h"

using namespace dirbox;

TEST_CASE("a listener is its owner's alone, and takes no name that exists") {
  const Scratch scratch;
  std::string path = scratch.path + "/socket";
  auto listener = make_unix_listener(path, SOCK_STREAM);
  REQUIRE(listener);
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0600);
  auto second = make_unix_listener(path, SOCK_SEQPACKET);
  REQUIRE_FALSE(second);
  CHECK(second.error().err == EADDRINUSE);
  CHECK(make_unix_listener(std::string(200, 'x'), SOCK_STREAM).error().err == ENAMETOOLONG);
}

TEST_CASE("what was sent arrives, though the sender ended with messages unread") {
  auto pair = make_socket_pair();
  REQUIRE(pair);
  const std::byte words[] = {std::byte{7}, std::byte{8}};
  REQUIRE(send_message(pair->ours.get(), words));
  REQUIRE(send_message(pair->theirs.get(), words));
  pair->theirs.reset();
  auto message = receive_message(pair->ours.get(), 16, 0);
  REQUIRE(message);
  CHECK(message->bytes.size() == 2);
  auto end = receive_message(pair->ours.get(), 16, 0);
  REQUIRE(end);
  CHECK(end->end);
}
