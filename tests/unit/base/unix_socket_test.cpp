#include "launcher/base/unix_socket.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

using namespace dirbox;

TEST_CASE("a listener is its owner's alone, and takes no name that exists") {
  char directory[] = "/tmp/dirbox-listener-XXXXXX";
  REQUIRE(::mkdtemp(directory) != nullptr);
  std::string path = std::string(directory) + "/socket";
  auto listener = make_unix_listener(path, SOCK_STREAM);
  REQUIRE(listener);
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0600);
  auto second = make_unix_listener(path, SOCK_SEQPACKET);
  REQUIRE_FALSE(second);
  CHECK(second.error().err == EADDRINUSE);
  CHECK(make_unix_listener(std::string(200, 'x'), SOCK_STREAM).error().err == ENAMETOOLONG);
  ::unlink(path.c_str());
  ::rmdir(directory);
}
