#include "launcher/base/glob.h"

#include <doctest/doctest.h>

using namespace dirbox;

TEST_CASE("a star stands for any part of one name") {
  CHECK(match_name("*", ""));
  CHECK(match_name("*", ".env"));
  CHECK(match_name(".env*", ".env.local"));
  CHECK(match_name("*.pem", "a.pem"));
  CHECK(match_name("a*b*c", "aXbYbZc"));
  CHECK(!match_name("*.pem", "a.pem.old"));
  CHECK(!match_name("a*b", "a"));
  CHECK(!match_name("", "a"));
  CHECK(match_name("a?", "a?"));
  CHECK(!match_name("a?", "ab"));
  CHECK(!match_name("*a*a*a*a*a*a*a*b", std::string(200, 'a')));
}

TEST_CASE("the part of a path that a pattern names") {
  auto in = [](const char* glob, const char* path) {
    return std::string(Glob::parse(glob).value().find_in(path));
  };
  CHECK(in("/d/**/.env", "/d/a/b/.env") == "/d/a/b/.env");
  CHECK(in("/d/**/.env", "/d/.env") == "/d/.env");
  CHECK(in("/d/**/keys", "/d/a/keys/b/keys/c") == "/d/a/keys");
  CHECK(in("/d/**/.env", "/d/a/.env.local") == "");
  CHECK(in("/d/**/.env", "/e/.env") == "");
  CHECK(in("/d/*", "/d") == "");
  CHECK(in("/d/**", "/d/a/b") == "/d/a");
  CHECK(in("/d/**/*.lock", "/d/.git/index.lock") == "");
  CHECK(in("/d/*/HEAD", "/d/.git/HEAD") == "");
  CHECK(in("/d/.git/*.lock", "/d/.git/index.lock") == "/d/.git/index.lock");
  CHECK(in("/d/**/.git/config", "/d/a/.git/config") == "/d/a/.git/config");
  CHECK(!Glob::parse("d/*"));
  std::string deep;
  for (std::size_t i = 0; i < Glob::kMaxComponents; ++i) deep += "/**";
  CHECK(in(deep.c_str(), deep.c_str()) == "/**");
  CHECK(!Glob::parse(deep + "/a"));
}
