#include "profiles/selection.h"

#include <doctest/doctest.h>

using namespace dirbox::profiles;

namespace {

std::vector<Selection> parsed(const std::string& text) {
  auto out = parse_selections(text, "p.toml");
  REQUIRE_MESSAGE(out.has_value(), (out ? "" : out.error().message()));
  return *out;
}
std::string chosen(const std::vector<Selection>& list, const std::string& directory) {
  auto held = decide_selection(list, directory, "director");
  if (!held) return "error: " + held.error().detail + " | " + held.error().hint;
  return held->selection == nullptr ? "" : held->selection->profile;
}
std::string chosen(const std::string& text, const std::string& directory) {
  return chosen(parsed(text), directory);
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

TEST_CASE("an entry counts where a symlink leads, and no planted one changes what others say") {
  auto list = parsed("[projects]\n\"/w/x\" = \"a\"\n\"/s\" = \"b\"\n\"/s/a\" = \"a\"\n");
  auto led = [&](const char* to, bool planted, const char* directory) {
    list[0].leads_to = to;
    list[0].planted = planted;
    return chosen(list, directory);
  };
  CHECK(led("/d", false, "/d/y") == "a");
  CHECK(led("/d", false, "/w/x") == "a");
  CHECK(led("/d", false, "/e") == "");
  CHECK(led("/s/t", false, "/s/t/y") == "a");
  CHECK(led("/", false, "/s/t") == "b");
  CHECK(led("/", true, "/s/t") == "b");
  CHECK(led("/s/a", true, "/s/a") == "a");
  CHECK(led("/s", false, "/s/t") ==
        "error: p.toml:2:1 says a, p.toml:3:1 b | dirbox project unset /w/x, or dirbox project set "
        "a /s");
  CHECK(led("/s/t", true, "/s/t") ==
        "error: p.toml:2:1 says a, p.toml:3:1 b, and a sandbox may have made the symlink that "
        "leads here | dirbox project unset /w/x, or dirbox project set a /s/t");
  CHECK(led("/d", true, "/d").starts_with("error: p.toml:2:1 says a, the default director, and"));
  list[0].profile = "director";
  CHECK(led("/d", true, "/d") == "director");
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
    CHECK(out.error().doing == "read the projects");
  }
  auto twice = parse_selections("[projects]\n\"/a b\" = 'x'\n  \"/a b\"  = 'y'\n", "p.toml");
  CHECK(twice.error().detail == "the key \"/a b\" stands in its table already");
  auto syntax = parse_selections("[projects\n", "p.toml");
  CHECK(syntax.error().message().starts_with("read the projects: p.toml:1:"));
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
  const std::string form = "error: it is written in a form that cannot be changed line by line";
  CHECK(set("projects = {\"/a\" = \"x\"}\n", "/a", "y") == form);
  CHECK(set("#\nprojects.\"/a\" = \"x\"\n", "/b", "y") == form);
  CHECK(set_selection("#\nprojects.\"/a\" = \"x\"\n", "p.toml", "/a", "y").error().operand ==
        "p.toml:2:1");
  CHECK(set("projects = {\"/a\" = \"x\"}\n", "/b", "y").starts_with("error"));
  CHECK(set("[projects]\n\"/a\" = \"\"\"x\"\"\"\n", "/a", "y") == "[projects]\n\"/a\" = \"y\"\n");
}
