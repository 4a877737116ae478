#include "launcher/guard/tree_locks.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::guard;

namespace {

/// A sandbox that guards one directory.
struct Session {
  explicit Session(const std::string& path) : file(path + "/x/file") { locks.mark(path); }
  bool is_alone() const { return locks.are_alone(file); }
  std::string file;
  TreeLocks locks;
};

}  // namespace

TEST_CASE("a sandbox knows of another one in, above and beneath its directory, and of no other") {
  const Scratch scratch;
  const std::string top = scratch.path + "/a", deep = top + "/b/c", beside = top + "-b";
  for (const std::string& path : {deep, beside}) std::filesystem::create_directories(path);
  const Session ours(top);
  const Session neighbour(beside);
  CHECK(ours.is_alone());
  for (const std::string& path : {top, top + "/b", deep, scratch.path}) {
    CAPTURE(path);
    {
      const Session theirs(path);
      CHECK_FALSE(ours.is_alone());
      CHECK_FALSE(theirs.is_alone());
      CHECK(neighbour.is_alone() == (path != scratch.path));
    }
    CHECK(ours.is_alone());
  }
}

TEST_CASE("several directories of one sandbox are not in each other's way, and each has its own") {
  const Scratch scratch;
  const std::string first = scratch.path + "/a", second = scratch.path + "/b";
  for (const std::string& path : {first, second}) std::filesystem::create_directories(path);
  Session ours(first);
  ours.locks.mark(second);
  CHECK(ours.locks.are_alone(first + "/file"));
  CHECK(ours.locks.are_alone(second + "/file"));
  const Session theirs(second);
  CHECK(ours.locks.are_alone(first + "/file"));
  CHECK_FALSE(ours.locks.are_alone(second + "/file"));
}

TEST_CASE("without locks nothing is known") {
  const Scratch scratch;
  Session ours(scratch.path);
  CHECK(ours.is_alone());
  CHECK_FALSE(ours.locks.are_alone("/elsewhere"));
  ours.locks.mark(scratch.path + "/missing");
  CHECK_FALSE(ours.is_alone());
}
