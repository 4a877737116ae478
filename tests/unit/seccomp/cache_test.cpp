#include "seccomp/cache.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "launcher/base/file.h"
#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::seccomp;

namespace {

struct Fixture {
  Scratch scratch;
  std::string directory = scratch.path + "/cache";
  Policy policy = compile_policy({}).value();
  std::string file = directory + "/" + filter_key(policy, kNativeArch) + ".bpf";

  CachedFilter get() {
    auto got = cached_filter(policy, directory);
    REQUIRE(got);
    return std::move(*got);
  }
  std::string content() { return read_file(file).value(); }
  void put(const std::string& bytes) {
    std::filesystem::remove(file);
    REQUIRE(replace_file(file, bytes));
  }
  /// The file as it stands is refused with a note, the right filter comes, and the next call hits.
  void check_refused(std::string_view note) {
    auto want = compile_filter(policy).value();
    CachedFilter got = get();
    CHECK(!got.hit);
    CHECK_MESSAGE(got.note.find(note) != std::string::npos, got.note);
    REQUIRE(got.filter.program.size() == want.program.size());
    CHECK(std::memcmp(got.filter.program.data(), want.program.data(),
                      want.program.size() * sizeof(sock_filter)) == 0);
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "built once, then loaded, in a private directory") {
  CachedFilter first = get();
  CHECK(!first.hit);
  CHECK(first.note == "");
  CachedFilter second = get();
  CHECK(second.hit);
  REQUIRE(first.filter.program.size() == second.filter.program.size());
  CHECK(std::memcmp(first.filter.program.data(), second.filter.program.data(),
                    first.filter.program.size() * sizeof(sock_filter)) == 0);
  struct stat st {};
  REQUIRE(::stat(directory.c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0700);
  REQUIRE(::stat(file.c_str(), &st) == 0);
  CHECK((st.st_mode & 07777) == 0600);
  CHECK(std::distance(std::filesystem::directory_iterator(directory), {}) == 1);
}

TEST_CASE_FIXTURE(Fixture, "every changed byte, and every cut, is refused") {
  get();
  std::string good = content();
  std::string key = filter_key(policy, kNativeArch);
  auto parses = [&](const std::string& bytes) {
    return parse_cache_file(std::as_bytes(std::span(bytes)), key).has_value();
  };
  REQUIRE(parses(good));
  CHECK(format_cache_file(parse_cache_file(std::as_bytes(std::span(good)), key).value(), key) ==
        good);
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < good.size(); i += i < 200 ? 1 : 37) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    accepted += parses(bad);
  }
  for (std::size_t n = 0; n < good.size(); n += n < 200 ? 1 : 37)
    accepted += parses(good.substr(0, n));
  CHECK(!parses(good + std::string(8, '\0')));
  CHECK(accepted == 0);
}

TEST_CASE_FIXTURE(Fixture, "a damaged file is rebuilt and replaced") {
  get();
  std::string bad = content();
  bad.back() = static_cast<char>(bad.back() ^ 1);
  put(bad);
  check_refused("damaged");
  CHECK(get().hit);
}

TEST_CASE_FIXTURE(Fixture, "another policy's file under this name is refused") {
  get();
  PolicyInput input;
  input.allow = {{"@all", {"x", 1, 1}}};
  Policy wide = compile_policy(input).value();
  std::string forged =
      format_cache_file(compile_filter(wide).value(), filter_key(wide, kNativeArch));
  put(forged);
  check_refused("another policy");
}

TEST_CASE_FIXTURE(Fixture, "links, devices and files of others are not followed or read") {
  get();
  std::string good = content();
  std::string elsewhere = scratch.path + "/elsewhere";
  REQUIRE(replace_file(elsewhere, good));
  std::filesystem::remove(file);
  REQUIRE(::symlink(elsewhere.c_str(), file.c_str()) == 0);
  check_refused("ELOOP");
  CHECK(read_file(elsewhere).value() == good);  // the link was replaced, not written through
  CHECK(get().hit);

  std::filesystem::remove(file);
  REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
  check_refused("right type");

  REQUIRE(::chmod(file.c_str(), 0620) == 0);
  check_refused("others can write");
  if (::geteuid() == 0) {
    REQUIRE(::chown(file.c_str(), 12345, 0) == 0);
    check_refused("uid 12345");
  } else {
    MESSAGE("skipped: a file of another user takes root to make");
  }
  put(std::string(100000, 'x'));
  check_refused("larger");
}

TEST_CASE_FIXTURE(Fixture, "a directory that others can write, or that is a link, is not used") {
  get();
  REQUIRE(::chmod(directory.c_str(), 0770) == 0);
  check_refused("others can write");
  REQUIRE(::chmod(directory.c_str(), 0700) == 0);
  std::string real = scratch.path + "/real";
  std::filesystem::rename(directory, real);
  REQUIRE(::symlink(real.c_str(), directory.c_str()) == 0);
  check_refused("open");
  std::filesystem::remove(directory);
  REQUIRE(replace_file(directory, "a file"));
  check_refused("open");
}

TEST_CASE("the key tells generator inputs apart") {
  Policy base = compile_policy({}).value();
  PolicyInput input;
  input.nested_userns = true;
  Policy nested = compile_policy(input).value();
  CHECK(filter_key(base, Arch::x86_64) != filter_key(base, Arch::aarch64));
  CHECK(filter_key(base, Arch::x86_64) != filter_key(nested, Arch::x86_64));
  CHECK(filter_key(base, Arch::x86_64).size() == 64);
}
