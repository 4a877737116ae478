#include "launcher/base/path.h"

#include <doctest/doctest.h>

using namespace dirbox;

TEST_CASE("paths are compared by component") {
  CHECK(path_is_beneath("/a/b", "/a"));
  CHECK(path_is_beneath("/a", "/a"));
  CHECK_FALSE(path_is_beneath("/ab", "/a"));
  CHECK(path_is_beneath("/anything", "/"));
  CHECK(path_relative("/a/b/c", "/a") == "b/c");
  CHECK(path_relative("/a", "/a") == "");
  CHECK(path_relative("/a", "/") == "a");
}

TEST_CASE("normalize") {
  CHECK(path_normalize("//a/./b//../c/") == "/a/c");
  CHECK(path_normalize("/../..") == "/");
  CHECK(path_join("/a", "b") == "/a/b");
  CHECK(path_join("/", "b") == "/b");
  CHECK(path_join("/a", "/b") == "/b");
  CHECK(path_parent("/a/b") == "/a");
  CHECK(path_parent("/a") == "/");
  CHECK(path_name("/a/b") == "b");
}
