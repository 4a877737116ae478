#include "launcher/guard/git_join.h"

#include <doctest/doctest.h>

#include "launcher/guard/git_config.h"

using namespace dirbox::guard;

TEST_CASE("entries of one text go behind another") {
  CHECK(add_entries("[a]\n\tx = 1", "", "[a]\nx=1\ny=2\n") == "[a]\n\tx = 1\n[a]\n\ty = \"2\"\n");
  CHECK(add_entries("", "", "") == "");
  CHECK(add_entries("[a]\n", "[a]\nx = 1\n", "[a]\nx = 1\n") == "[a]\n");  // taken away since
  CHECK(add_entries("[a", "", "[b]\nx = 1\n") == "[a");
  CHECK(add_entries("[a]\n", "", "[b") == "[a]\n");
  CHECK(add_entries("", "[b", "[b]\nx = 1\nx = 1\n") == "[b]\n\tx = \"1\"\n");
}

TEST_CASE("what is written is what was read") {
  const std::string theirs =
      "[remote \"o.r \\\" \\\\ ]\"]\n"
      "\tURL = \"a # b; \\\"c\\\" \\\\ \\t \\n d \"\n"
      "[branch \"\"]\n\tmerge\n[plain]\n\tempty =\n";
  const auto wanted = parse_git_config(theirs);
  REQUIRE(wanted.has_value());
  REQUIRE(wanted->entries.size() == 3);
  const auto written = parse_git_config(add_entries("", "", theirs));
  REQUIRE(written.has_value());
  CHECK(written->entries == wanted->entries);
}
