#include "launcher/plan/claude_code.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/plan/fake_host.h"

using namespace dirbox;
using namespace dirbox::plan;

TEST_CASE("where Claude Code keeps the sessions of a directory") {
  auto name = [](std::string_view cwd) { return claude_project_directory("/h", cwd); };
  CHECK(name("/home/u/p") == "/h/.claude/projects/-home-u-p");
  CHECK(name("/srv/a.b_c d") == "/h/.claude/projects/-srv-a-b-c-d");
  CHECK(name("/h/\xc3\xa9t\xc3\xa9") == "/h/.claude/projects/-h--t-");
  CHECK(name("/\xf0\x9f\x98\x80") == "/h/.claude/projects/---");  // two UTF-16 units
  CHECK(name("/\xff\xc3") == "/h/.claude/projects/---");
  CHECK(name("/" + std::string(199, 'a')).find_last_of('-') ==
        std::string_view("/h/.claude/projects/").size());
  // node -e: the 32-bit hash of "/" + "a" x 200 that h = (h << 5) - h + unit gives, base 36
  CHECK(name("/" + std::string(200, 'a')) ==
        "/h/.claude/projects/-" + std::string(199, 'a') + "-b6ymvl");
}

TEST_CASE("the administrator's settings are kept, and the inner sandbox is off") {
  FakeHost host;
  host.command.argv = {"true"};
  host.files.file("/etc/claude-code/managed-settings.json", "{}");
  host.files.file("/etc/claude-code/managed-settings.d/10-site.json", "{}");
  host.files.file(std::string(kClaudeSettings), "{\"sandbox\":{\"enabled\":true}}");
  const std::string grant =
      "[filesystem]\nread = [\"/usr\", \"?/etc/claude-code\"]\nwrite = [\"${CWD}\"]\n";
  Plan plan = host.compile(host.profile(grant));
  const sandbox::Mount* setting = mount_at(plan, std::string(kClaudeSettings));
  REQUIRE(setting != nullptr);
  CHECK(setting->kind == sandbox::MountKind::file);
  CHECK(setting->source == kClaudeSettingsText);
  for (const char* site : {"/etc/claude-code/managed-settings.json",
                           "/etc/claude-code/managed-settings.d/10-site.json"}) {
    CHECK(mount_at(plan, site) != nullptr);
  }
  Plan nested = host.compile(host.profile(grant + "[process]\nnested_userns = true\n"));
  CHECK(mount_at(nested, std::string(kClaudeSettings)) == nullptr);
}

TEST_CASE("an inner sandbox that settings turn on is announced") {
  const std::string text = "[filesystem]\nread = [\"/usr\"]\nwrite = [\"${CWD}\"]\n";
  auto warned = [&](FakeHost& host) {
    Plan plan = host.compile(host.profile(text));
    return std::any_of(plan.warnings.begin(), plan.warnings.end(), [](const Note& note) {
      return note.text.find("own sandbox") != note.text.npos;
    });
  };
  for (const char* path :
       {"/home/u/.claude/settings.json", "/home/u/p/.claude/settings.json",
        "/home/u/p/.claude/settings.local.json", "/etc/claude-code/managed-settings.json"}) {
    CAPTURE(path);
    FakeHost host;
    host.files.program("/usr/bin/claude");
    host.command.argv = {"claude"};
    CHECK_FALSE(warned(host));
    for (const char* quiet : {"{\"sandbox\":{\"enabled\":false}}", "{\"sandbox\":{}}",
                              "{\"sandbox\":1}", "{\"sandbox\":{\"enabled\":true}"}) {
      CAPTURE(quiet);
      host.files.file(path, quiet);
      CHECK_FALSE(warned(host));
    }
    host.files.file(path, "{\"sandbox\":{\"enabled\":true}}");
    CHECK(warned(host));
    host.command.argv = {"true"};
    CHECK_FALSE(warned(host));
  }
}

TEST_CASE("a copy is the command's own in a private home, and the host's read-only elsewhere") {
  FakeHost host;
  host.command.argv = {"true"};
  host.files.file("/home/u/.state.json", "{}");
  const std::string text =
      "[filesystem]\nread = [\"/usr\"]\nwrite = [\"${CWD}\"]\ncopy = [\"?~/.none\", "
      "\"~/.state.json\"]\n";
  Plan plan = host.compile(host.profile(text));
  const sandbox::Mount* mount = mount_at(plan, "/home/u/.state.json");
  REQUIRE(mount != nullptr);
  CHECK(mount->kind == sandbox::MountKind::copy);
  CHECK(mount->mode == 0600);
  CHECK(find_rule(plan, "/home/u/.state.json")->copy);

  Plan masked = host.compile(host.profile(text + "home = \"masked\"\n"));
  CHECK(shown(masked, "/home/u/.state.json") == "read");

  auto wide =
      host.compile(host.profile("[filesystem]\nread = [\"/usr\"]\nwrite = [\"${CWD}\", "
                                "\"~/.state.json\"]\ncopy = [\"~/.state.json\"]\n"));
  CHECK(shown(wide, "/home/u/.state.json") == "write");
  auto folder = host.try_filesystem("copy = [\"~/p\"]");
  REQUIRE_FALSE(folder.has_value());
  CHECK(folder.error().error.message().find("not a regular file") != std::string::npos);
}
