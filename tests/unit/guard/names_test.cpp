#include "launcher/guard/names.h"

#include <doctest/doctest.h>

#include <string>

#include "launcher/guard/table.h"

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

TEST_CASE("the first character rules out no name that is the same") {
  using namespace dirbox::guard;
  for (int p = 1; p < 0x80; ++p) {
    const std::string plain(1, static_cast<char>(p));
    const NameRule rules[] = {{plain, What::whole, ""}};
    const Folder folder("one", rules, {});
    for (int n = 1; n < 0x100; ++n) {
      const std::string name(1, static_cast<char>(n));
      const bool same = plain == "*" || is_same_name(plain, name);
      CHECK((find_name(folder, name) != nullptr) == same);
      CHECK((folder.may_know(name) || !same));
    }
  }
  const FolderRule one[] = {{".git", &git_folder()}}, every[] = {{"*", &git_folder()}};
  for (const char* name : {".git", ".GIT", "\xe2\x80\x8c.git"}) {
    CHECK(is_special(Folder("one", {}, one), name));
    CHECK(find_folder(Folder("one", {}, one), name) == &git_folder());
  }
  CHECK_FALSE(Folder("one", {}, one).may_know("git"));
  CHECK(find_folder(Folder("one", {}, one), "git") == nullptr);
  CHECK(find_folder(Folder("one", {}, one, {.open = true}), "git") == &tree_folder());
  CHECK(find_folder(Folder("one", {}, every), "anything") == &git_folder());
}
