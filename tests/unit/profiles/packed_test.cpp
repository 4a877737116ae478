#include "profiles/packed.h"

#include <doctest/doctest.h>

#include "profiles/load.h"
#include "profiles/show.h"
#include "tests/unit/profiles/memory_source.h"

using namespace dirbox;
using namespace dirbox::profiles;

namespace {

/// The built-in profiles without what the build made of them.
std::vector<EmbeddedFile> plain_files() {
  std::vector<EmbeddedFile> files;
  for (const EmbeddedFile& file : embedded_files()) files.push_back({file.name, file.text, {}});
  return files;
}

Profile load(MemorySource& source, const std::string& name, std::span<const EmbeddedFile> files) {
  auto profile = load_profile(request_for(name, files), source);
  REQUIRE_MESSAGE(profile.has_value(), (profile ? "" : profile.error().message()));
  return *profile;
}

/// The same values, marks, order, origins and chain; through the bytes, and through what is shown.
void check_same(const Profile& a, const Profile& b) {
  CHECK(a.name == b.name);
  CHECK(a.chain == b.chain);
  CHECK(pack_profile(a) == pack_profile(b));
  CHECK(to_json(a).dump() == to_json(b).dump());
  CHECK(show_profile(a) == show_profile(b));
  CHECK(a.read == b.read);
  CHECK(a.hide == b.hide);
  CHECK(a.syscalls_allow == b.syscalls_allow);
}

/// Loads `name` with the packed profiles and with the texts alone.
void check_loads_same(MemorySource& source, const std::string& name) {
  CAPTURE(name);
  const auto plain = plain_files();
  auto packed = load_profile(request_for(name, embedded_files()), source);
  auto parsed = load_profile(request_for(name, plain), source);
  REQUIRE(packed.has_value() == parsed.has_value());
  if (packed) {
    check_same(*packed, *parsed);
  } else {
    CHECK(packed.error().message() == parsed.error().message());
    CHECK(packed.error().hint == parsed.error().hint);
  }
}

}  // namespace

TEST_CASE("what the build packed is what parsing gives") {
  MemorySource source;
  for (const EmbeddedFile& file : embedded_files()) {
    CAPTURE(file.name);
    REQUIRE_FALSE(file.merged.empty());
    check_loads_same(source, std::string(file.name));
    Profile parsed = load(source, std::string(file.name), plain_files());
    CHECK(pack_profile(parsed) == file.merged);
    auto unpacked = unpack_profile(file.merged);
    REQUIRE(unpacked.has_value());
    unpacked->name = file.name;
    check_same(*unpacked, parsed);
  }
}

TEST_CASE("files of the user and the system still count") {
  const std::string hide = "[filesystem]\nhide = [\"~/extra\"]\n";
  MemorySource source;
  for (const char* place : {"/u", "/s"}) {
    source.files.clear();
    source.files[std::string(place) + "/base.toml"] = "extends = \"base\"\n" + hide;
    for (const EmbeddedFile& file : embedded_files())
      check_loads_same(source, std::string(file.name));
    CHECK(load(source, "director", embedded_files()).chain.at(1) ==
          std::string(place) + "/base.toml");
  }
  source.files = {{"/u/director.toml", "extends = \"director\"\n" + hide},
                  {"/u/mine.toml", "extends = [\"offline\", \"director\"]\n" + hide},
                  {"/u/late.toml", "extends = [\"mine\", \"worker\"]\n"},
                  {"/u/alone.toml", hide},
                  {"/u/after.toml", "extends = [\"alone\", \"director\"]\n"},
                  {"/u/build.toml", "extends = \"worker\"\n"},
                  {"/u/worker.toml", "extends = \"build\"\n"},
                  {"/u/typo.toml", "extends = \"directer\"\n"}};
  for (const char* name : {"director", "mine", "late", "alone", "after", "build", "worker", "typo"})
    check_loads_same(source, name);
  CHECK(load(source, "director", embedded_files()).hide.back().text == "~/extra");
  CHECK(load(source, "director", embedded_files()).description.value.empty());
}

TEST_CASE("an override that cannot be read is an error, not the built-in") {
  MemorySource source;
  source.errors["/u/base.toml"] = EACCES;
  check_loads_same(source, "director");
  CHECK_FALSE(load_profile(request_for("director", embedded_files()), source).has_value());
}

TEST_CASE("every key survives packing") {
  MemorySource source;
  source.files["/u/all.toml"] = R"(
description = "all"
[filesystem]
home = "masked"
write = [{path = "~/w", create = true}, "?/b"]
sockets = [{path = "/run/x", dangerous = true}]
[environment]
set = {A = "1", B = ""}
[network]
mode = "proxy"
[seccomp]
rules = [{syscall = "socket", when = ["arg0 == 16", "arg1 == 3"], action = "errno:EPERM"}]
[limits]
nofile = 4096
as = "64G"
[[verify]]
run = "true"
expect = "ok"
[[verify]]
run = "false"
expect = "blocked"
why = "so"
)";
  Profile profile = load(source, "all", {});
  const std::string bytes = pack_profile(profile);
  auto unpacked = unpack_profile(bytes);
  REQUIRE(unpacked.has_value());
  unpacked->name = "all";
  check_same(profile, *unpacked);
  CHECK(unpacked->env_set.at(1).name == "B");
  CHECK(unpacked->limit_as.value == std::uint64_t{64} << 30);
  CHECK_FALSE(unpacked->limit_nproc.value.has_value());
  CHECK(unpacked->verify.at(1).blocked);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(unpack_profile(std::string_view(bytes).substr(0, size)).has_value());
  }
  CHECK_FALSE(unpack_profile(bytes + '\0').has_value());
}
