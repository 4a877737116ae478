#include "profiles/decode.h"

#include <doctest/doctest.h>

using namespace dirbox;
using namespace dirbox::profiles;

namespace {

Result<Layer> decode(std::string_view text) {
  auto tree = parse_toml(text, "p.toml");
  if (!tree) return Failure(tree.error());
  return decode_layer(*tree, "p.toml");
}

/// The whole message, and the hint behind " | ".
std::string error_of(std::string_view text) {
  auto layer = decode(text);
  if (layer) return "no error";
  return layer.error().message() + (layer.error().hint.empty() ? "" : " | " + layer.error().hint);
}

}  // namespace

TEST_CASE("every error names file, line, column, key, the nearest name and what to do") {
  struct Case {
    const char* text;
    const char* error;
  };
  const Case cases[] = {
      {"[network]\nallowd = [\"a\"]\n",
       "read profile: p.toml:2:1: unknown key \"allowd\" (did you mean \"allow\"?) | [network] has "
       "mode, allow, deny, upgrade, tls, tls_ports, allow_ech, allow_non_tls, proxy_port, "
       "proxy_variables, "
       "host_ports, publish, limits"},
      {"\n[netwrk]\nallow = [\"a\"]\n",
       "read profile: p.toml:2:2: unknown key \"netwrk\" (did you mean \"network\"?) | the top of "
       "a file "
       "has description, extends, filesystem, environment, network, seccomp, process, limits, "
       "docker, "
       "log, require, excluded, verify"},
      {"tmp_size = 1\n",
       "read profile: p.toml:1:1: unknown key \"tmp_size\" | it belongs in [filesystem]"},
      {"[filesystem]\n  extends = \"x\"\n",
       "read profile: p.toml:2:3: unknown key \"extends\" | it belongs at the top of the file"},
      {"[filesystem]\nhome = \"privat\"\n",
       "read profile: p.toml:2:8: filesystem.home: unknown value \"privat\" (did you mean "
       "\"private\"?) | it is "
       "one of private, masked, host"},
      {"[filesystem]\nread = \"/usr\"\n",
       "read profile: p.toml:2:8: filesystem.read takes a list, not a string | for example read = "
       "[\"?~/.gitconfig\", \"/srv/data\"]"},
      {"[filesystem]\nread = [1]\n",
       "read profile: p.toml:2:9: filesystem.read takes strings or tables in its list, not an "
       "integer | for "
       "example read = [\"?~/.gitconfig\", \"/srv/data\"]"},
      {"[filesystem]\nread = []\n",
       "read profile: p.toml:2:8: filesystem.read is an empty list | an empty list adds nothing; "
       "an inherited "
       "entry is removed by \"-entry\""},
      {"[filesystem]\nread = [\n  \"/a\",\n  \"src\"]\n",
       "read profile: p.toml:4:3: filesystem.read: relative path \"src\" | start it with /, ~/, "
       "${CWD}/ or "
       "${PROJECT}/"},
      {"[filesystem]\nread = [\"${HOM}/x\"]\n",
       "read profile: p.toml:2:9: filesystem.read: unknown variable ${HOM} (did you mean "
       "\"HOME\"?) | the "
       "variables are ${CWD}, ${HOME}, ${PROJECT} and ${CLAUDE_PROJECT}"},
      {"[filesystem]\nread = [\"\"]\n", "read profile: p.toml:2:9: filesystem.read: empty string"},
      {"[filesystem]\nread = [\"/a\\u0000b\"]\n",
       "read profile: p.toml:2:9: filesystem.read: NUL byte in a string"},
      {"[filesystem]\nread = [\"~/.mozilla/*\"]\n",
       "read profile: p.toml:2:9: filesystem.read: wildcard in \"~/.mozilla/*\" | these paths have "
       "no wildcards: name the directory, or each file"},
      {"[filesystem]\ntmp_size = \"64 M\"\n",
       "read profile: p.toml:2:12: filesystem.tmp_size: malformed size \"64 M\" | a size is an "
       "integer with K, "
       "M, G or T behind it, or bytes"},
      {"[filesystem]\ntmp_size = 0\n",
       "read profile: p.toml:2:12: filesystem.tmp_size: out of range | it is from 4K to 1T"},
      {"[limits]\nnofile = -1\n",
       "read profile: p.toml:2:10: limits.nofile: out of range | it is from 16 to 1048576"},
      {"[limits]\nnofile = \"1K\"\n",
       "read profile: p.toml:2:10: limits.nofile takes an integer, not a string | for example "
       "nofile = 4096"},
      {"[process]\nnested_userns = 1\n",
       "read profile: p.toml:2:17: process.nested_userns takes true or false, not an integer | for "
       "example "
       "nested_userns = true"},
      {"[filesystem]\nwrite = [{path = \"~/x\", creat = true}]\n",
       "read profile: p.toml:2:25: filesystem.write: unknown key \"creat\" of an entry (did you "
       "mean "
       "\"create\"?) | an entry has path, optional, create"},
      {"[filesystem]\nwrite = [{create = true}]\n",
       "read profile: p.toml:2:10: filesystem.write: an entry without path | for example {path = "
       "\"…\", "
       "optional = true}"},
      {"[filesystem]\nwrite = [{path = \"/x\", create = 1}]\n",
       "read profile: p.toml:2:33: create takes true or false, not an integer"},
      {"[filesystem]\nread = [\"/x\", \"/y\"]\nhide = [\"/y/\"]\n",
       "read profile: p.toml:3:9: \"/y\" is in both filesystem.hide and filesystem.read | the "
       "other one is at "
       "line 2; keep one of them"},
      {"[filesystem]\nread = [\"~/x\", \"-${HOME}/x\"]\n",
       "read profile: p.toml:2:16: filesystem.read adds and removes \"~/x\" | keep one of the two"},
      {"[environment]\npass = [\"*\"]\n",
       "read profile: p.toml:2:9: environment.pass: \"*\" would pass every variable | name the "
       "variables, or a "
       "prefix: \"MY_*\""},
      {"[environment]\npass = [\"?FOO\"]\n",
       "read profile: p.toml:2:9: \"?FOO\": environment.pass has no optional entries"},
      {"[environment]\nset = {A-B = \"x\"}\n",
       "read profile: p.toml:2:8: environment.set: \"A-B\" is not the name of a variable | a name "
       "is of letters, "
       "digits and _, and does not start with a digit"},
      {"[environment]\nset = {A = \"${CWD\"}\n",
       "read profile: p.toml:2:12: environment.set: \"${\" without \"}\" in \"${CWD\""},
      {"[[seccomp.rules]]\nsyscall = \"ioctl\"\n",
       "read profile: p.toml:1:1: [[seccomp.rules]] without action | for example action = "
       "\"errno:EPERM\""},
      {"[[seccomp.rules]]\nsyscall = \"ioctl\"\naction = \"deny\"\n",
       "read profile: p.toml:3:10: seccomp.rules.action: unknown action \"deny\" | the actions are "
       "allow, "
       "errno:ENAME (errno:EPERM), kill, log and notify"},
      {"[[verify]]\nrun = \"x\"\nexpect = \"denied\"\n",
       "read profile: p.toml:3:10: verify.expect: unknown value \"denied\" | it is one of ok, "
       "blocked"},
      {"verify = 1\n",
       "read profile: p.toml:1:10: verify takes a list, not an integer | for example verify = "
       "[{run = \"cat "
       "~/.ssh/id_rsa\", expect = \"blocked\", why = \"ssh keys are hidden\"}]"},
      {"filesystem = 1\n",
       "read profile: p.toml:1:1: filesystem is a table, not an integer | write [filesystem] on a "
       "line of its own"},
      {"[network]\nallow = [\"a b\"]\n",
       "read profile: p.toml:2:10: network.allow: \"a b\": byte 0x20 cannot be part of a name"},
      {"description = 2026-01-01\n",
       "read profile: p.toml:1:15: description takes a string, not a date or time | for example "
       "description = "
       "\"my work profile\""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(error_of(c.text) == c.error);
  }
}

TEST_CASE("errors of TOML itself have their position") {
  auto operand = [](std::string_view text) {
    auto layer = decode(text);
    return layer ? "no error" : layer.error().operand;
  };
  CHECK(operand("a = 1\nb = \"x\n") == "p.toml:2:7");
  CHECK(operand("[filesystem]\nread = [\"/a\"]\nread = [\"/b\"]\n") == "p.toml:3:8");
  CHECK(operand("[filesystem]\nhome = \"host\"\n[filesystem]\n").starts_with("p.toml:3:"));
  CHECK(operand("description = \"\xff\"\n").starts_with("p.toml:1:"));
  CHECK(operand(std::string(kMaxProfileBytes + 1, '\n')) == "p.toml");
  CHECK(operand("\n\xef\xb6\xbf") == "p.toml:2:1");  // U+FDBF, U+E9: undefined behaviour in toml++
  CHECK(operand("\xc3\xa9 = 1") == "p.toml:1:1");
  CHECK(operand("\n[=") == "p.toml:2:2");
  CHECK(operand("x = [[[[[[[[[[[[1]]]]]]]]]]]]\n").starts_with("p.toml:1:"));
}

TEST_CASE("a key that is nested without end does not end the stack") {
  std::string text = "[a";
  for (int i = 0; i < 100000; ++i) text += ".a";
  CHECK(error_of(text + "]\n")
            .starts_with("read profile: p.toml:1:1: a key with more than 16 parts"));
  std::string quoted = "x = 1\n[\"a\"";
  for (int i = 0; i < 50000; ++i) quoted += " . a";
  CHECK(error_of(quoted + "]\n").starts_with("read profile: p.toml:2:1: a key with more than 16"));
}

TEST_CASE("what is printed of a file cannot steer the terminal") {
  std::string error = error_of("[filesystem]\n\"\\u001b[31mread\" = 1\n");
  CHECK(error.find('\x1b') == error.npos);
  CHECK(error.find("\\x1b[31mread") != error.npos);
}

TEST_CASE("entries: marks, the table form, one spelling of a path") {
  auto layer = decode(
      "[filesystem]\n"
      "read = [\"?~/a\", {path = \"${HOME}//b/./c/\", optional = true}, \"/\", \"~/a\"]\n"
      "write = [{path = \"~\", create = true}, \"${CWD}\"]\n"
      "sockets = [{path = \"/run/x.sock\", dangerous = true}]\n"
      "hide = [\"~/.x\", \"?/y\"]\n");
  REQUIRE(layer);
  const Profile& p = layer->values;
  REQUIRE(p.read.size() == 3);
  CHECK(p.read[0] == Entry{"~/a", false, false, false, {"p.toml", 2, 67}});  // the later one stands
  CHECK(p.read[1] == Entry{"~/b/c", true, false, false, {"p.toml", 2, 17}});
  CHECK(p.read[2].text == "/");
  CHECK(p.write[0].create);
  CHECK(p.write[0].text == "~");
  CHECK(p.sockets[0].dangerous);
  CHECK_FALSE(p.hide[0].optional);
  CHECK(p.hide[1].optional);
}

TEST_CASE("values of every kind arrive with their origin") {
  auto layer = decode(
      "description = \"d\"\n"
      "[filesystem]\nhome = \"masked\"\ntmp_size = \"64M\"\nshm_size = 8192\n"
      "[environment]\npass = [\"LC_*\"]\nset = {B = \"2\", A = \"${HOME}/x:${CWD}\", E = \"\"}\n"
      "[network]\nmode = \"host\"\n"
      "[[seccomp.rules]]\nsyscall = \"ioctl\"\nwhen = [\"arg1 == 0x5412\"]\naction = "
      "\"errno:EPERM\"\n"
      "[process]\nnested_userns = true\nhostname = \"h\"\n"
      "[limits]\nas = \"1G\"\n"
      "[require]\nlandlock = \"optional\"\n"
      "[[verify]]\nrun = \"true\"\nexpect = \"blocked\"\n");
  REQUIRE_MESSAGE(layer.has_value(), (layer ? "" : layer.error().message()));
  const Profile& p = layer->values;
  CHECK(p.home.value == HomeMode::masked);
  CHECK(p.home.origin == Origin{"p.toml", 3, 8});
  CHECK(p.tmp_size.value == 64u << 20);
  CHECK(p.shm_size.value == 8192);
  CHECK(p.run_size.origin.file.empty());
  REQUIRE(p.env_set.size() == 3);
  CHECK(p.env_set[0].name == "B");  // source order
  CHECK(p.env_set[0].origin == Origin{"p.toml", 8, 8});
  CHECK(p.network_mode.value == NetworkMode::host);
  REQUIRE(p.syscall_rules.size() == 1);
  CHECK(p.syscall_rules[0].origin == Origin{"p.toml", 11, 1});
  CHECK(p.syscall_rules[0].when == std::vector<std::string>{"arg1 == 0x5412"});
  CHECK(p.nested_userns.value);
  CHECK(p.limit_as.value == 1ull << 30);
  CHECK_FALSE(p.limit_nofile.value.has_value());
  CHECK(p.landlock_optional.value);
  REQUIRE(p.verify.size() == 1);
  CHECK(p.verify[0].blocked);
}

TEST_CASE("variables") {
  Variables v{"/home/u", "/home/u/w", "/home/u/w/top"};
  CHECK(expand_path("~/x", v) == "/home/u/x");
  CHECK(expand_path("~", v) == "/home/u");
  CHECK(expand_path("${CWD}/a", v) == "/home/u/w/a");
  CHECK(expand_path("${PROJECT}", v) == "/home/u/w/top");
  CHECK(expand_path("/x/${CWD}", v) == "/x/${CWD}");
  CHECK(expand_path("~/x", {"/", "/", "/"}) == "/x");
  CHECK(expand_value("a${HOME}b$c${CWD}", v) == "a/home/ub$c/home/u/w");
  for (const char* bad :
       {"~root/x", "$HOME/x", "${CWD}x", "a", "./a", "/a/../b", "/a/${CWD}", "${}", "..", "/.."}) {
    CAPTURE(bad);
    CHECK(check_path(bad).has_value());
  }
  for (const char* good : {"/", "~", "~/a", "${CWD}", "/a..b/..c/d..", "/a[id]/x y"}) {
    CAPTURE(good);
    CHECK_FALSE(check_path(good).has_value());
  }
  for (const char* bad : {"/dev/*/x", "/dev/x*/y*", "/dev/**", "/d/x*", "/dev*", "~/x*"}) {
    CAPTURE(bad);
    CHECK(check_device(bad).has_value());
  }
  for (const char* good : {"/dev/dri", "/dev/nvidia*", "/dev/dri/*"}) {
    CAPTURE(good);
    CHECK_FALSE(check_device(good).has_value());
  }
}
