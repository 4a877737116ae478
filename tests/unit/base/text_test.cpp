#include "launcher/base/text.h"

#include <doctest/doctest.h>

using namespace dirbox;

TEST_CASE("text from inside cannot drive the terminal") {
  CHECK(escape_for_terminal("a\x1b[31mb\nc") == "a\\x1b[31mb\\nc");
  CHECK(escape_for_terminal("caf\xc3\xa9") == "caf\xc3\xa9");
  CHECK(escape_for_terminal(std::string{'\xe2', '\x80', '\xae'}) == "\\u{202e}");
  CHECK(escape_for_terminal("\xc2\x9b") == "\\u{9b}");
  CHECK(escape_for_terminal("\xff\xc0\xaf") == "\\xff\\xc0\\xaf");
  CHECK(escape_for_terminal("\\") == "\\\\");
  CHECK(escape_for_terminal("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // surrogate
}

TEST_CASE("near misses") {
  CHECK(did_you_mean("allowd", {"allow", "deny"}) == " (did you mean \"allow\"?)");
  CHECK(did_you_mean("rnu", {"run", "show"}) == " (did you mean \"run\"?)");
  CHECK(did_you_mean("shwo", {"run", "show"}) == " (did you mean \"show\"?)");
  CHECK(did_you_mean("zzz", {"allow", "deny"}).empty());
}

TEST_CASE("durations") {
  using std::chrono::seconds;
  CHECK(parse_duration("10m") == seconds(600));
  CHECK(parse_duration("90") == seconds(90));
  CHECK(parse_duration("1d") == seconds(86'400));
  for (const char* wrong : {"", "m", "0", "0m", "-1m", "+1m", "1.5h", "1m30s", "366d", " 1m",
                            "99999999999999999999s"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse_duration(wrong));
  }
  CHECK(format_duration(seconds(600)) == "10m");
  CHECK(format_duration(seconds(90)) == "90s");
  CHECK(format_duration(seconds(7200)) == "2h");
}

TEST_CASE("sizes") {
  CHECK(parse_size("64M") == 64u << 20);
  CHECK(parse_size("17") == 17);
  CHECK_FALSE(parse_size("-1"));
  CHECK_FALSE(parse_size("1.5G"));
  CHECK_FALSE(parse_size("1GB"));
  CHECK_FALSE(parse_size("99999999999T"));
  CHECK_FALSE(parse_size(""));
  CHECK(format_size(64u << 20) == "64M");
  CHECK(format_size(1536u << 10) == "1536K");
}

TEST_CASE("shell quoting") {
  CHECK(shell_quote("a/b.c") == "a/b.c");
  CHECK(shell_quote("a b") == "'a b'");
  CHECK(shell_quote("it's") == "'it'\\''s'");
  CHECK(shell_quote("") == "''");
}

TEST_CASE("tables align by what is seen") {
  Table table;
  table.add({"a", "bb", "c"});
  table.add({paint("longer", Color::red, true), "b", "d"});
  CHECK(table.render() == "a       bb  c\n\x1b[31mlonger\x1b[0m  b   d\n");
}
