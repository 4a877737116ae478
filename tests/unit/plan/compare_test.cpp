#include "launcher/plan/compare.h"

#include "tests/unit/plan/fake_host.h"

using namespace dirbox;
using profiles::Effect;

namespace {

/// "widens TEXT" or "narrows TEXT" lines of what `after` changes in `before`, both TOML.
std::string changes(FakeHost& host, const std::string& before, const std::string& after) {
  const auto left = FakeHost::profile(before), right = FakeHost::profile(after);
  host.command.force_cwd = true;
  std::string out;
  for (const auto& change :
       plan::compare_plans(left, host.compile(left), right, host.compile(right))) {
    out += (change.effect == Effect::widens ? "widens " : "narrows ") + change.text + "\n";
  }
  return out;
}

std::string fs(const std::string& text) { return "[filesystem]\n" + text + "\n"; }

}  // namespace

TEST_CASE("paths are judged by what they come to") {
  FakeHost host;
  host.files.directory("/srv/a/b");
  host.files.link("/srv/l", "a");
  const std::string write = "write = [\"/srv/a\"]";
  CHECK(changes(host, fs(write), fs(write)).empty());
  CHECK(changes(host, fs(write), "") == "narrows not visible /srv/a (before: write)\n");
  CHECK(changes(host, "", fs(write)) == "widens write /srv/a (before: not visible)\n");
  CHECK(changes(host, fs("read = [\"/srv/a\"]"), fs(write)) ==
        "widens write /srv/a (before: read)\n");
  CHECK(changes(host, fs(write), fs(write + "\nread = [\"/srv/a/b\"]")) ==
        "narrows read /srv/a/b (before: write)\n");
  CHECK(changes(host, fs(write + "\nread = [\"/srv/a/b\"]"), fs(write)) ==
        "widens write /srv/a/b (before: read)\n");
  CHECK(changes(host, fs(write), fs(write + "\nhide = [\"/srv/a/b\"]")) ==
        "narrows not visible /srv/a/b (before: write)\n");
  CHECK(changes(host, fs(write), fs("write = [\"/srv/l\"]")).empty());
  CHECK(changes(host, fs("write = [\"/srv/a\", \"/srv/a/b\"]"), fs(write)).empty());
  CHECK(changes(host, "", fs("write = [{path = \"/srv/new\", create = true}]")) ==
        "widens make the directory /srv/new on the host\n");
}

TEST_CASE("a pattern holds what is not there yet") {
  FakeHost host;
  host.files.file("/srv/a/.env");
  const std::string write = "write = [\"/srv/a\"]\n";
  const std::string one = write + "hide = [\"/srv/a/*.env\"]";
  const std::string two = write + "hide = [\"/srv/a/*.env\", \"/srv/a/**/*.pem\"]";
  CHECK(changes(host, fs(two), fs(one)) ==
        "widens leave what appears at /srv/a/**/*.pem\n"
        "widens - filesystem.hide /srv/a/**/*.pem\n");
  CHECK(changes(host, fs(one), fs(two)) == "narrows take away what appears at /srv/a/**/*.pem\n");
  CHECK(changes(host, fs(one), fs(write)) ==
        "widens write /srv/a/.env (before: not visible)\n"
        "widens leave what appears at /srv/a/*.env\n"
        "widens - filesystem.hide /srv/a/*.env\n");
}

TEST_CASE("what may be absent is told while it is") {
  FakeHost host;
  const std::string entry = "write = [\"?/srv/later\"]";
  CHECK(changes(host, "", fs(entry)) == "widens + filesystem.write ?/srv/later\n");
  CHECK(changes(host, fs(entry), fs(entry)).empty());
  CHECK(changes(host, fs(entry), "").empty());
  host.files.directory("/srv/later");
  CHECK(changes(host, "", fs(entry)) == "widens write /srv/later (before: not visible)\n");
}

TEST_CASE("what is not known to narrow widens") {
  FakeHost host;
  struct Row {
    const char* before;
    const char* after;
    const char* effect;
  };
  const char* proxy = "[network]\nmode = \"proxy\"\nallow = [\"a.test\"]\n";
  const Row rows[] = {
      {"", "description = \"x\"", ""},
      {"", "[process]\nhostname = \"x\"", ""},
      {"", proxy, "widens"},
      {proxy, "", "narrows"},
      {"[network]\nmode = \"proxy\"", proxy, "widens"},
      {proxy, "[network]\nmode = \"proxy\"\nallow = [\"a.test\"]\ndeny = [\"b.a.test\"]",
       "narrows"},
      {"[network]\nproxy_port = 3128", "[network]\nproxy_port = 0", "widens"},
      {"[network]\nproxy_variables = true", "[network]\nproxy_variables = false", "widens"},
      {"", "[network]\nallow_ech = true", "widens"},
      {"[network]\nallow_ech = true", "", "narrows"},
      {"", "[limits]\nnofile = 64", "narrows"},
      {"[limits]\nnofile = 64", "[limits]\nnofile = 32", "narrows"},
      {"[limits]\nnofile = 64", "[limits]\nnofile = 128", "widens"},
      {"[limits]\nnofile = 64", "", "widens"},
      {"", "[filesystem]\ntmp_size = \"64M\"", "narrows"},
      {"", "[filesystem]\ntmp_size = \"64G\"", "widens"},
      {"", "[environment]\npass = [\"X\"]", "widens"},
      {"[environment]\npass = [\"X\"]", "", "narrows"},
      {"", "[environment]\nset = {X = \"1\"}", "widens"},
      {"[environment]\nset = {X = \"1\"}", "", "widens"},
      {"", "[seccomp]\ndeny = [\"io_uring_setup\"]", "narrows"},
      {"", "[[seccomp.rules]]\nsyscall = \"socket\"\naction = \"kill\"", "widens"},
      {"", "[require]\nlandlock = \"optional\"", "widens"},
      {"[require]\nlandlock = \"optional\"", "", "narrows"},
      {"", "[filesystem]\nhome = \"masked\"", "widens"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.before);
    CAPTURE(row.after);
    const std::string out = changes(host, row.before, row.after);
    CHECK(out.substr(0, out.find(' ')) == row.effect);
  }
}
