#include "launcher/guard/names.h"

#include <doctest/doctest.h>

#include <string>

using dirbox::guard::is_same_name;

TEST_CASE("a name is compared as by a file system that ignores case") {
  for (const char* name : {".git", ".GIT", ".gIt", ".g\xe2\x80\x8cit", "\xef\xbb\xbf.git",
                           ".gi\xc2\xadt", ".git\xf3\xa0\x80\x81"}) {
    CHECK_MESSAGE(is_same_name(".git", name), name);
  }
  CHECK(is_same_name("tasks.json", "ta\xc5\xbf\xe2\x84\xaas.j\xc5\xbfon"));
  CHECK(is_same_name("config", "con\xef\xac\x81g"));
  CHECK(is_same_name("HEAD", "head"));
  CHECK(is_same_name("class", "cla\xc3\x9f"));
  CHECK(is_same_name("", ""));
}

TEST_CASE("and other names are others") {
  for (const char* name : {"", ".gi", ".gitt", "git", ".g\xc3\xaft", ".git\xff", ".git\xe2\x80",
                           ".git\x80", ".git\xc3", ".git\xf0\x9f\x98\x80", ".git "}) {
    CHECK_MESSAGE(!is_same_name(".git", name), name);
  }
  CHECK(!is_same_name("config", "con\xef\xac\x81"));
  CHECK(!is_same_name("con", "con\xef\xac\x81"));
  CHECK(!is_same_name(".git@", ".git`"));
}

TEST_CASE("the quick way says the same") {
  for (int p = 1; p < 0x80; ++p) {
    for (int n = 1; n < 0x100; ++n) {
      const std::string plain(1, static_cast<char>(p)), name(1, static_cast<char>(n));
      CHECK(dirbox::guard::is_same_name_quickly(plain, name) == is_same_name(plain, name));
    }
  }
}
