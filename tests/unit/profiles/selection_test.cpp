#include "profiles/selection.h"

#include <doctest/doctest.h>

using namespace dirbox::profiles;

namespace {

std::vector<Selection> parsed(const std::string& text) {
  auto out = parse_selections(text, "p.toml");
  REQUIRE_MESSAGE(out.has_value(), (out ? "" : out.error().message()));
  return *out;
}
std::string chosen(const std::string& text, const std::string& directory) {
  const auto list = parsed(text);
  const Selection* found = decide_selection(list, directory);
  return found == nullptr ? "" : found->profile;
}
std::string set(const std::string& text, const std::string& directory, const std::string& profile) {
  auto out = set_selection(text, "p.toml", directory, profile);
  return out ? *out : "error: " + out.error().detail;
}

}  // namespace

TEST_CASE("the longest directory wins, by component") {
  const std::string text = "[projects]\n\"/w\" = \"a\"\n\"/w/x\" = \"b\"\n\"/w/x/y\" = \"c\"\n";
  CHECK(chosen(text, "/w") == "a");
  CHECK(chosen(text, "/w/xy") == "a");
  CHECK(chosen(text, "/w/x") == "b");
  CHECK(chosen(text, "/w/x/z") == "b");
  CHECK(chosen(text, "/w/x/y/z") == "c");
  CHECK(chosen(text, "/ww") == "");
  CHECK(chosen("[projects]\n\"/\" = \"r\"\n", "/ww") == "r");
}

TEST_CASE("what is refused, with its place") {
  struct Row {
    const char* text;
    const char* operand;
  };
  const Row rows[] = {
      {"x = 1\n", "p.toml:1:1"},
      {"[projects]\n\"rel\" = \"a\"\n", "p.toml:2:1"},
      {"[projects]\n\"/a/../b\" = \"a\"\n", "p.toml:2:1"},
      {"[projects]\n\"/a/\" = \"a\"\n", "p.toml:2:1"},
      {"[projects]\n\"/a\" = 3\n", "p.toml:2:8"},
      {"[projects]\n\"/a\" = \"../x\"\n", "p.toml:2:8"},
      {"projects = 3\n", "p.toml:1:1"},
      {"[projects]\n\"/a\" = \"a\"\n\"/a\" = \"b\"\n", "p.toml:3:8"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    auto out = parse_selections(row.text, "p.toml");
    REQUIRE(!out.has_value());
    CHECK(out.error().operand == row.operand);
  }
}

TEST_CASE("an edit keeps comments and order") {
  CHECK(set("", "/a", "x") == "[projects]\n\"/a\" = \"x\"\n");
  const std::string text = "# mine\n[projects] # here\n\"/b\" = 'y'   # why\n# end\n";
  CHECK(set(text, "/b", "z") == "# mine\n[projects] # here\n\"/b\" = \"z\"   # why\n# end\n");
  CHECK(set(text, "/a", "x") ==
        "# mine\n[projects] # here\n\"/b\" = 'y'   # why\n\"/a\" = \"x\"\n# end\n");
  CHECK(set("[projects]", "/a", "x") == "[projects]\n\"/a\" = \"x\"\n");
  auto out = unset_selection(text, "p.toml", "/b");
  REQUIRE(out.has_value());
  CHECK(*out == "# mine\n[projects] # here\n# end\n");
  CHECK(!unset_selection(text, "p.toml", "/c").has_value());
}

TEST_CASE("names with quotes, escapes, newlines and terminal sequences") {
  const std::string name = "/a\"b\\c\n\x1b[31m#";
  const std::string text = set("", name, "x");
  CHECK(chosen(text, name) == "x");
  CHECK(chosen(set(text, name, "y"), name) == "y");
  CHECK(set("", "/\xff", "x") == "error: its name is not UTF-8, which is all that TOML can write");
}

TEST_CASE("forms that cannot be edited line by line are left alone") {
  CHECK(set("projects = {\"/a\" = \"x\"}\n", "/a", "y").starts_with("error"));
  CHECK(set("projects = {\"/a\" = \"x\"}\n", "/b", "y").starts_with("error"));
  CHECK(set("[projects]\n\"/a\" = \"\"\"x\"\"\"\n", "/a", "y") == "[projects]\n\"/a\" = \"y\"\n");
}
