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
  plan::Resolver resolver(host.files);
  const plan::Plan plan = host.compile(left);
  for (const auto& change :
       plan::compare_plans(left, plan, right, host.compile(right),
                           plan::find_restrictions(resolver, host.facts, plan))) {
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

TEST_CASE("hiding what restricts the agent widens") {
  FakeHost host;
  host.files.file("/home/u/.claude/settings.json");
  host.files.file("/home/u/.claude/todos/x");
  host.files.file("/home/u/.claude/hooks/pre");
  host.files.file("/etc/claude-code/managed-settings.json");
  host.files.file("/home/u/dots/rules/a.md");
  host.files.link("/home/u/.claude/rules", "/home/u/dots/rules");
  const std::string read = "read = [\"~/.claude\", \"~/dots\", \"/etc/claude-code\"]\n";
  const std::string why = ": it takes away what restricts the agent\n";
  for (const char* path :
       {"/home/u/.claude/settings.json", "/home/u/.claude/hooks", "/home/u/.claude/hooks/pre",
        "/home/u/.claude", "/etc/claude-code/managed-settings.json",
        "/home/u/.claude/settings.local.json", "/home/u/dots", "/home/u/dots/rules"}) {
    CAPTURE(path);
    const std::string hide = std::string("hide = [\"") + path + "\"]";
    const std::string out = changes(host, fs(read), fs(read + hide));
    CHECK(out.starts_with(std::string("widens not visible ") + path + " (before: read)" + why));
    CHECK(changes(host, fs(read + hide), fs(read + hide)).empty());
  }
  const std::string managed = "read = [\"/etc/claude-code/managed-settings.json\"]\n";
  CHECK(changes(host, fs(managed), fs(managed + "hide = [\"/etc/claude-code\"]"))
            .starts_with("widens not visible /etc/claude-code (before: not visible)" + why));
  // One that is not there yet is not granted yet.
  const std::string optional = "read = [\"?~/.claude/CLAUDE.md\"]\n";
  CHECK(changes(host, fs(optional), fs(optional + "hide = [\"/home/u/.claude/CLAUDE.md\"]")) ==
        "widens not visible /home/u/.claude/CLAUDE.md (before: not visible)" + why);
  // An entry less.
  CHECK(changes(host, fs("read = [\"~/.claude/settings.json\"]"), "") ==
        "widens not visible /home/u/.claude/settings.json (before: read)" + why);
  CHECK(changes(host, fs("read = [\"~/.claude\"]"), "") ==
        "widens not visible /home/u/.claude (before: read)" + why);
  // What lies beside them, and what was hidden before, restricts nothing.
  CHECK(changes(host, fs(read), fs(read + "hide = [\"~/.claude/todos\"]")) ==
        "narrows not visible /home/u/.claude/todos (before: read)\n");
  CHECK(changes(host, fs(read + "hide = [\"~/.claude/hooks\"]"),
                fs(read + "hide = [\"~/.claude/hooks\", \"~/.claude/hooks/pre\"]"))
            .empty());
}

TEST_CASE("an agent's settings restrict it wherever they are") {
  const std::string why = ": it takes away what restricts the agent\n";
  const std::string all = "read = [\"/home/u\", \"/etc\", \"?/srv\"]\nwrite = [\"${CWD}\"]\n";
  struct Row {
    const char* path;
    const char* profile;  ///< what it says beside `all`
    bool restricts;
  };
  const char* alt = "[environment]\nset = {CLAUDE_CONFIG_DIR = \"${HOME}/.config/alt\"}\n";
  const Row rows[] = {
      {"/home/u/p/.claude/settings.local.json", "", true},
      {"/home/u/p/.claude/settings.json", "", true},
      {"/home/u/p/.claude/hooks/pre", "", true},
      {"/home/u/p/.claude/notes", "", false},
      {"/home/u/p/sub/.claude/settings.local.json", "", true},
      {"/home/u/p/sub/.claude/notes", "", false},
      {"/home/u/.config/alt/settings.json", alt, true},
      {"/home/u/.config/alt/settings.json", "", false},
      {"/home/u/.config/alt/todos", alt, false},
      {"/srv/claude/settings.json", "", true},
      {"/home/u/.codex/config.toml", "", true},
      {"/srv/codex/config.toml", "", true},
      {"/srv/codex/log", "", false},
      {"/etc/codex/requirements.toml", "", true},
      {"/home/u/.gemini/settings.json", "", true},
      {"/home/u/.config/opencode/opencode.json", "", true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.path);
    FakeHost host;
    host.set("CLAUDE_CONFIG_DIR", "/srv/claude");
    host.set("CODEX_HOME", "/srv/codex");
    host.files.file(row.path);
    host.files.directory("/home/u/p/sub");
    host.work_in("/home/u/p/sub");
    const std::string out = changes(host, row.profile + fs(all),
                                    row.profile + fs(all + "hide = [\"" + row.path + "\"]"));
    CHECK(out.ends_with(row.restricts ? why : ")\n"));
    CHECK(out.starts_with(std::string(row.restricts ? "widens" : "narrows") + " not visible " +
                          row.path));
  }
}

TEST_CASE("settings that are not there yet restrict as well") {
  FakeHost host;
  const std::string write = "write = [\"${CWD}\"]\n";
  const std::string why = ": it takes away what restricts the agent\n";
  CHECK(changes(host, fs(write), fs(write + "hide = [\"${PROJECT}/**/settings.local.json\"]")) ==
        "widens take away what appears at /home/u/p/**/settings.local.json" + why);
  CHECK(changes(host, fs(write), fs(write + "hide = [\"${PROJECT}/.cl*\"]")) ==
        "widens take away what appears at /home/u/p/.cl*" + why);
  CHECK(changes(host, fs(write), fs(write + "hide = [\"${PROJECT}/**/*.pem\"]")) ==
        "narrows take away what appears at /home/u/p/**/*.pem\n");
}

TEST_CASE("a home that shows less takes settings away") {
  for (const char* home : {"masked", "host"}) {
    CAPTURE(home);
    FakeHost host;
    host.files.file("/home/u/.claude/settings.json");
    const std::string all = "home = \"" + std::string(home) + "\"";
    const std::string out = changes(host, fs(all), fs("home = \"private\""));
    CHECK(out.starts_with("widens "));
    CHECK(out.find("what restricts the agent") != std::string::npos);
  }
}

TEST_CASE("a variable that says where an agent's settings are stays") {
  FakeHost host;
  host.set("CODEX_HOME", "/srv/codex");
  host.set("OTHER", "x");
  auto pass = [](const std::string& names) { return "[environment]\npass = [" + names + "]\n"; };
  CHECK(changes(host, pass("\"CODEX_HOME\", \"OTHER\""), pass("\"OTHER\"")) ==
        "widens CODEX_HOME is not what it was: it says what restricts the agent\n"
        "narrows - environment.pass CODEX_HOME\n");
  CHECK(changes(host, pass("\"CODEX_HOME\", \"OTHER\""), pass("\"CODEX_HOME\"")) ==
        "narrows - environment.pass OTHER\n");
}

TEST_CASE("dirbox's own directories are no widening, and what a shim covered is one") {
  FakeHost host;
  host.files.program("/usr/bin/tmux");
  host.files.program("/opt/bin/deploy");
  host.set("PATH", "/opt/bin:/usr/bin");
  const std::string base = "[filesystem]\nread = [\"/usr\", \"/opt\"]\n";
  auto record = [](const std::string& command, const std::string& mode) {
    return "[[excluded]]\ncommand = \"" + command + "\"\nmode = \"" + mode + "\"\n";
  };
  CHECK(changes(host, base + record("tmux", "grammar"), base + record("tmux", "inside")) ==
        "narrows - excluded tmux: grammar\nnarrows + excluded tmux: inside\n");
  CHECK(changes(host, base + record("deploy", "host"), base + record("deploy", "inside"))
            .starts_with("widens show /opt/bin/deploy, which t.toml:3:1 stands for"));
  const std::string swarm = "write = [{path = \"~/.swarm\", create = true}]\n";
  CHECK(changes(host, fs(swarm), fs(swarm + "swarm_state = \"private\"")) ==
        "narrows - filesystem.swarm_state shared\nnarrows + filesystem.swarm_state private\n");
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
