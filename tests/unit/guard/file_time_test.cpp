#include "launcher/guard/file_time.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::guard;

namespace {

struct timespec changed(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_ctim;
}

}  // namespace

TEST_CASE("the time of files is between what changed before and what changes after") {
  const Scratch scratch;
  // One that is looked at gets the exact time of its next change, another one the last tick's.
  for (const bool looked_at : {true, false}) {
    CAPTURE(looked_at);
    for (int i = 0; i < 500; ++i) {
      const std::string before = scratch.path + "/before", after = scratch.path + "/after";
      std::ofstream(before) << "text";
      if (looked_at) changed(before);
      std::filesystem::permissions(before, std::filesystem::perms(0600 + i % 0100));
      const auto moment = file_time();
      REQUIRE(moment);
      std::ofstream(after) << "text";
      REQUIRE(in_ns(changed(before)) <= in_ns(*moment));
      REQUIRE(in_ns(changed(after)) >= in_ns(*moment));
      REQUIRE(is_since(changed(after), *moment));
      REQUIRE(now_in_ns() >= in_ns(changed(after)));
      std::filesystem::remove(before);
      std::filesystem::remove(after);
    }
  }
}

TEST_CASE("a time in coarse units may be that of a later change") {
  const struct timespec moment { 100, 55'000'001 };
  CHECK(is_since({100, 55'000'001}, moment));
  CHECK_FALSE(is_since({100, 55'000'000}, moment));
  CHECK_FALSE(is_since({99, 999'999'999}, moment));
  CHECK(is_since({100, 50'000'000}, moment));  // exFAT's 10 ms
  CHECK_FALSE(is_since({100, 40'000'000}, moment));
  CHECK(is_since({100, 0}, moment));  // ext4's with small inodes
  CHECK(is_since({99, 0}, moment));   // FAT's
  CHECK_FALSE(is_since({98, 0}, moment));
}
