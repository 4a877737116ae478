#include "launcher/base/closer.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <utility>

using namespace dirbox;

namespace {

std::pair<UniqueFd, UniqueFd> make_pipe() {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// The other end has been closed.
bool ends(int reader) {
  pollfd source{reader, POLLIN, 0};
  return ::poll(&source, 1, 10'000) == 1 && (source.revents & POLLHUP) != 0;
}

}  // namespace

TEST_CASE("what it takes is closed") {
  Closer closer;
  CHECK_FALSE(closer.full());
  for (int i = 0; i < 3; ++i) {
    auto [from, to] = make_pipe();
    closer.take(std::move(to));
    CHECK(ends(from.get()));
  }
  closer.take(UniqueFd());
  closer.take(std::vector<UniqueFd>());
}

TEST_CASE("what it took last is closed although it ends") {
  auto [from, to] = make_pipe();
  { Closer().take(std::move(to)); }
  CHECK(ends(from.get()));
}
