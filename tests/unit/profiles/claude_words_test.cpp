#include "profiles/claude_words.h"

#include <doctest/doctest.h>

#include "launcher/broker/policy.h"

using namespace dirbox;
using namespace dirbox::profiles;

namespace {

using Paths = std::vector<std::string>;
const ClaudeBase kProject;
const ClaudeBase kUser{"~/.claude"};

}  // namespace

TEST_CASE("patterns of permission rules are gitignore's") {
  struct Case {
    const char* text;
    Paths paths;
  };
  const Case cases[] = {
      // A name without a slash before its end: at any depth.
      {".env", {"${PROJECT}/**/.env"}},
      {"./.env.*", {"${PROJECT}/**/.env.*"}},
      {"*.pem", {"${PROJECT}/**/*.pem"}},
      {"**/*.pem", {"${PROJECT}/**/*.pem"}},
      {"secrets/**", {"${PROJECT}/**/secrets"}},
      {"secrets/", {"${PROJECT}/**/secrets"}},
      {"**/secrets/**", {"${PROJECT}/**/secrets"}},
      // Others where they say.
      {"config/key.json", {"${PROJECT}/config/key.json", "${CWD}/config/key.json"}},
      {"./src/*.key", {"${PROJECT}/src/*.key", "${CWD}/src/*.key"}},
      {"/src/**", {"${PROJECT}/src", "${CWD}/src"}},
      {"//etc//x/./y", {"/etc/x/y"}},
      {"~/.config/**", {"~/.config"}},
      {"~/*.pem", {"~/*.pem"}},
      // All of the system is too much to look through.
      {"//**/.env", {"~/**/.env", "${PROJECT}/**/.env"}},
      // What a profile's pattern has no sign for becomes wider, never a directory wildcard.
      {"a?.k[0-9]", {"${PROJECT}/**/a*.k*"}},
      {"??", {"${PROJECT}/**/*"}},
      {"a[]x]b[c", {"${PROJECT}/**/a*b*c"}},
      {"\\#x\\*", {"${PROJECT}/**/#x*"}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(read_claude_rule(c.text, ClaudeUse::hide, kProject).paths == c.paths);
  }
  CHECK(read_claude_rule("/keys/**", ClaudeUse::hide, kUser).paths == Paths{"~/.claude/keys"});
  CHECK(read_claude_rule(".env", ClaudeUse::hide, kUser).paths == Paths{"${PROJECT}/**/.env"});
}

TEST_CASE("a whole home, work tree or system") {
  for (const char* text : {"**", "./**", "*", ".", "/**", "//**", "~/**", "**/*"}) {
    CAPTURE(text);
    const ClaudePath read = read_claude_rule(text, ClaudeUse::hide, kProject);
    CHECK(read.paths.empty());
    CHECK_FALSE(read.remark.empty());
  }
  CHECK(read_claude_rule("./**", ClaudeUse::protect, kProject).paths ==
        Paths{"${PROJECT}", "${CWD}"});
  CHECK(read_claude_path("/", ClaudeUse::hide, kProject).remark.starts_with("weaker here: "));
  CHECK(read_claude_path("~/", ClaudeUse::hide, kProject).remark.starts_with("weaker here: "));
}

TEST_CASE("paths of the sandbox block begin where the settings are") {
  CHECK(read_claude_path("./cache", ClaudeUse::grant, kProject).paths == Paths{"${PROJECT}/cache"});
  CHECK(read_claude_path("cache/", ClaudeUse::grant, kUser).paths == Paths{"~/.claude/cache"});
  CHECK(read_claude_path(".", ClaudeUse::grant, kUser).paths == Paths{"~/.claude"});
  CHECK(read_claude_path("x", ClaudeUse::hide, kProject).paths ==
        Paths{"${PROJECT}/x", "${CWD}/x"});
  CHECK(read_claude_path("x", ClaudeUse::hide, kUser).paths == Paths{"~/.claude/x"});
  CHECK(read_claude_path("//srv//x/", ClaudeUse::grant, kUser).paths == Paths{"/srv/x"});
  CHECK(read_claude_path("~//x/.", ClaudeUse::grant, kUser).paths == Paths{"~/x"});
  CHECK(read_claude_path("./**/*.key", ClaudeUse::hide, kProject).paths ==
        Paths{"${PROJECT}/**/*.key"});
  CHECK(read_claude_path("~/*/x", ClaudeUse::grant, kUser).remark.starts_with("stricter here: "));
  CHECK(read_claude_path("../x", ClaudeUse::hide, kUser).remark.starts_with("weaker here: "));
}

TEST_CASE("excluded commands with arguments become rules") {
  auto decide = [](const char* text, std::vector<std::string> arguments) {
    const ClaudeCommand read = read_claude_command(text);
    REQUIRE_MESSAGE(read.wrong.empty(), read.wrong);
    broker::Policy policy;
    policy.command = read.command;
    auto rule = broker::parse_rule(read.command, broker::RuleKind::allow, read.rule, {});
    REQUIRE(rule.has_value());
    policy.allow.push_back(*rule);
    return broker::decide(policy, arguments).allowed;
  };
  for (const char* text : {"git push:*", "git push *", "git  push*"}) {
    CAPTURE(text);
    CHECK(read_claude_command(text).rule == "push [-*] ...");
    CHECK(decide(text, {"push"}));
    CHECK(decide(text, {"push", "-u", "origin", "main"}));
    CHECK_FALSE(decide(text, {"-c", "alias.x=!id", "x"}));
    CHECK_FALSE(decide(text, {"-c", "alias.push=!id", "push"}));
    CHECK_FALSE(decide(text, {"push", "--receive-pack=id", "x"}));
    CHECK_FALSE(decide(text, {"fetch"}));
  }
  CHECK(decide("git push", {"push"}));
  CHECK_FALSE(decide("git push", {"push", "origin"}));
  CHECK(decide("npm run build:*", {"run", "build", "x"}));
  CHECK_FALSE(decide("npm run build:*", {"run", "evil"}));
  CHECK(decide("bq query --dry_run", {"query", "--dry_run"}));
  for (const char* text : {"git", "git *", "git:*", "git*"}) {
    CAPTURE(text);
    const ClaudeCommand read = read_claude_command(text);
    CHECK(read.command == "git");
    CHECK(read.rule.empty());
    CHECK(read.wrong.empty());
  }
  for (const char* text :
       {"git * main", "git -C /x push:*", "git push --force:*", "git evil:*", "gh pr:*", "a\nb",
        "/usr/bin/git push", "FOO=1 make", "", " ", "*", "make 'a b'", "make ...", "make <x>"}) {
    CAPTURE(text);
    CHECK_FALSE(read_claude_command(text).wrong.empty());
  }
}
