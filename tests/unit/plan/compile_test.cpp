#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "launcher/base/file.h"
#include "launcher/plan/sockets.h"
#include "profiles/schema.h"
#include "tests/unit/plan/fake_host.h"

using namespace dirbox;
using namespace dirbox::plan;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }
std::string variable(const Plan& plan, const std::string& name) {
  for (const auto& variable : plan.environment) {
    if (variable.name == name) return variable.value;
  }
  return "(none)";
}

}  // namespace

TEST_CASE("install trees of commands under the home") {
  FakeHost host;
  auto& files = host.files;
  files.program("/home/u/.local/share/claude/versions/2.1/claude");
  files.link("/home/u/.local/bin/claude", "../share/claude/versions/2.1/claude");
  files.program("/home/u/npm/lib/node_modules/tool/cli.js", "#!/usr/bin/env node\n");
  files.link("/home/u/npm/bin/tool", "../lib/node_modules/tool/cli.js");
  files.program("/home/u/.nvm/versions/node/v22/bin/node");
  files.program("/home/u/.pyenv/shims/py", "#!/home/u/.pyenv/bin/pyenv exec\n");
  files.program("/home/u/.pyenv/bin/pyenv", "#!/bin/sh\n");
  files.program("/home/u/venv/bin/python");
  files.file("/home/u/venv/pyvenv.cfg");
  files.program("/home/u/.cargo/bin/rg");
  files.file("/home/u/.cargo/credentials.toml");
  files.program("/home/u/sdk/go/bin/go");
  files.directory("/home/u/sdk/go/pkg/tool");
  files.program("/home/u/other/run.sh", "#!/bin/sh\n");
  files.file("/home/u/other/.env", "SECRET");
  files.program("/srv/tools/x");
  files.program("/tmp/script");
  const struct {
    const char *command, *granted, *not_granted;
  } rows[] = {
      {"/home/u/.local/bin/claude", "/home/u/.local/share/claude/versions/2.1",
       "/home/u/.local/share"},
      {"/home/u/npm/bin/tool", "/home/u/npm/lib/node_modules", "/home/u/npm"},
      {"/home/u/npm/bin/tool", "/home/u/.nvm/versions", "/home/u/.nvm"},
      {"/home/u/.pyenv/shims/py", "/home/u/.pyenv", "/home/u/p/x"},
      {"/home/u/venv/bin/python", "/home/u/venv", "/home/u/other"},
      {"/home/u/.cargo/bin/rg", "/home/u/.cargo/bin", "/home/u/.cargo"},
      {"/home/u/sdk/go/bin/go", "/home/u/sdk/go", "/home/u/sdk"},
      {"/home/u/other/run.sh", "/home/u/other/run.sh", "/home/u/other"},
      {"/srv/tools/x", "/srv/tools", "/srv"},
      {"/tmp/script", "/tmp/script", "/srv"},
  };
  host.set("PATH", "/home/u/.nvm/versions/node/v22/bin:/usr/bin");
  for (const auto& row : rows) {
    CAPTURE(std::string(row.command));
    CAPTURE(std::string(row.granted));
    host.command.argv = {row.command};
    Plan plan = host.filesystem("hide = [\"~/.cargo/credentials.toml\"]\nread = [\"/usr\"]");
    CHECK(shown(plan, row.granted) == "read");
    CHECK(shown(plan, row.not_granted) != "read");
    CHECK(plan.spec.executable == row.command);
    CHECK(has(all_notes(plan.notes), row.granted));
  }
  CHECK(shown(host.filesystem("read = [\"/usr\"]"), "/tmp") == "tmpfs");
  host.command.argv = {"/home/u/.local/bin/claude"};
  CHECK(shown(host.filesystem(""), "/home/u/.local/bin/claude") ==
        "link ../share/claude/versions/2.1/claude");
}

TEST_CASE("a program in a writable tree leads to no other tree") {
  FakeHost host;
  host.files.program("/home/u/other/run");
  host.files.file("/home/u/other/notes");
  host.files.link("/home/u/p/run", "../other/run");
  host.files.program("/home/u/p/script", "#!/home/u/other/run\n");
  host.files.program("/home/u/.pyenv/versions/3/bin/python");
  host.files.link("/home/u/p/python", "/home/u/.pyenv/versions/3/bin/python");
  for (const char* name : {"./run", "./script"}) {
    CAPTURE(std::string(name));
    host.command.argv = {name};
    Plan plan = host.filesystem("");
    CHECK(shown(plan, "/home/u/other").empty());
    CHECK(shown(plan, "/home/u/other/run").empty());
    CHECK(has(all_notes(plan.warnings), "--read /home/u/other/run"));
  }
  host.command.argv = {"./python"};  // a venv's: what a version manager keeps are programs
  CHECK(shown(host.filesystem(""), "/home/u/.pyenv") == "read");
}

TEST_CASE("directories of PATH under the home") {
  FakeHost host;
  auto& files = host.files;
  files.program("/home/u/bin/mine");
  files.link("/home/u/bin/notes", "../Documents/notes");
  files.file("/home/u/Documents/notes");
  files.link("/home/u/bin/sub", "../private/sub");
  files.directory("/home/u/private/sub");
  files.file("/home/u/private/key");
  files.program("/home/u/app/bin/app");
  files.link("/home/u/bin/app", "../app/bin/app");
  files.directory("/home/u/secret/bin");
  host.set("PATH", "/home/u/bin:relative::/home/u/secret/bin:/usr/bin:/home/u");
  Plan plan = host.filesystem("hide = [\"~/secret\"]");
  CHECK(shown(plan, "/home/u/bin") == "read");
  CHECK(shown(plan, "/home/u/app/bin") == "read");
  CHECK(shown(plan, "/home/u/Documents").empty());
  CHECK(shown(plan, "/home/u/private").empty());
  CHECK(shown(plan, "/home/u/private/sub").empty());
  CHECK(shown(plan, "/home/u/secret/bin").empty());
  CHECK(shown(plan, "/home/u") == "tmpfs");
}

TEST_CASE("commands that are missing, hidden, or no programs") {
  FakeHost host;
  host.files.file("/home/u/p/text", "x", 0644);
  host.files.program("/home/u/p/secret/x");
  host.files.other("/home/u/p/fifo", 010755);
  const struct {
    const char* name;
    int status;
  } rows[] = {{"absent", 127}, {"./absent", 127},   {"./text", 126}, {"/home/u/p", 126},
              {"", 127},       {"./secret/x", 126}, {"./fifo", 126}};
  for (const auto& row : rows) {
    CAPTURE(std::string(row.name));
    host.command.argv = {row.name};
    auto plan = host.try_filesystem("hide = [\"${CWD}/secret\"]");
    REQUIRE_FALSE(plan.has_value());
    CHECK(plan.error().status == row.status);
  }
}

TEST_CASE("the environment is what the profile lists") {
  FakeHost host;
  host.set("TOKEN", "t");
  host.set("LC_ALL", "C");
  host.set("DIRBOX", "forged");
  host.set("LC", "no");
  Plan plan = host.compile(FakeHost::profile(
      "[filesystem]\nwrite = [\"${CWD}\"]\n[environment]\npass = [\"PATH\", \"LC_*\"]\n"
      "set = {WHERE = \"${CWD}:${HOME}\", TOKEN = \"own\"}\n"));
  CHECK(variable(plan, "PATH") == "/usr/local/bin:/usr/bin:/bin");
  CHECK(variable(plan, "LC_ALL") == "C");
  CHECK(variable(plan, "LC") == "(none)");
  CHECK(variable(plan, "HOME") == "(none)");
  CHECK(variable(plan, "WHERE") == "/home/u/p:/home/u");
  CHECK(variable(plan, "TOKEN") == "own");
  CHECK(variable(plan, "IS_SANDBOX") == "1");
  CHECK(variable(plan, "DIRBOX") == "5e5510");
  CHECK(plan.dropped_variables == std::vector<std::string>{"HOME", "LC"});
}

TEST_CASE("/etc says what is true inside") {
  FakeHost host;
  host.facts.home = "/srv/a:b";
  host.facts.shell = "/bin/x\nroot::0:0::/:/bin/sh";
  Plan plan = host.filesystem("");
  CHECK(mount_at(plan, "/etc/passwd")->source == "u:x:1000:1000:u:/:/bin/sh\n");
  CHECK(mount_at(plan, "/etc/group")->source == "u:x:1000:\n");
  CHECK(has(mount_at(plan, "/etc/hosts")->source, "127.0.0.1 localhost"));
  CHECK(has(mount_at(plan, "/etc/resolv.conf")->source, "127.0.0.1"));
  CHECK(shown(plan, "/etc/mtab") == "link ../proc/self/mounts");
}

TEST_CASE("layers that are not in force are named") {
  FakeHost host;
  const std::string base = "[filesystem]\nwrite = [\"${CWD}\"]\n";
  Plan nested = host.compile(FakeHost::profile(base + "[process]\nnested_userns = true\n"));
  CHECK_FALSE(nested.spec.landlock);
  CHECK(nested.waivers.size() == 2);
  host.facts.landlock_abi = 0;
  auto refused = host.try_compile(FakeHost::profile(base));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().status == 125);
  Plan without = host.compile(FakeHost::profile(base + "[require]\nlandlock = \"optional\"\n"));
  CHECK_FALSE(without.spec.landlock);
  CHECK(has(all_notes(without.waivers), "landlock: off"));
}

TEST_CASE("Landlock repeats the mounts") {
  using sandbox::Access;
  FakeHost host;
  host.files.directory("/d/a");
  host.files.directory("/d/b");
  Plan plan = host.filesystem("read = [\"/d\"]\nhide = [\"/d/a\"]");
  auto access = [&](const std::string& path) -> int {
    for (const auto& rule : plan.spec.landlock_rules) {
      if (rule.path == path) return static_cast<int>(rule.access);
    }
    return -1;
  };
  CHECK(access("/") == static_cast<int>(Access::list));
  CHECK(access("/d") == static_cast<int>(Access::list));
  CHECK(access("/d/b") == static_cast<int>(Access::read));
  CHECK(access("/d/a") == -1);
  CHECK(access("/home/u/p") == static_cast<int>(Access::write));
}

TEST_CASE("limits and devices") {
  FakeHost host;
  host.files.other("/dev/kvm", 020660);
  Plan plan = host.compile(FakeHost::profile(
      "[filesystem]\nwrite = [\"${CWD}\"]\ndevices = [\"/dev/kvm\", \"?/dev/absent\", "
      "\"/dev/null\"]\n[limits]\nnofile = 64\n"));
  REQUIRE(plan.spec.limits.size() == 1);
  CHECK(plan.spec.limits[0].value == 64);
  CHECK(mount_at(plan, "/dev/kvm")->devices);
  for (const char* path : {"/dev/pts", "/dev/shm", "/dev/ptmx", "/dev/tty1", "/etc/passwd"}) {
    CAPTURE(std::string(path));
    host.files.other(path, 020660);
    CHECK_FALSE(host.try_filesystem(std::string("devices = [\"") + path + "\"]").has_value());
  }
  host.files.other("/dev/sda", 060660);
  CHECK_FALSE(host.try_filesystem("devices = [\"/dev/sda\"]").has_value());
  Plan disk = host.filesystem("devices = [{path = \"/dev/sda\", dangerous = true}]");
  CHECK(has(all_notes(disk.waivers), "/dev/sda"));
}

TEST_CASE("sockets are bound one by one, and the dangerous ones by consent") {
  FakeHost host;
  auto& files = host.files;
  files.socket("/run/postgresql/.s.PGSQL.5432");
  files.socket("/run/docker.sock");
  files.socket("/run/user/1000/bus");
  files.link("/var/run", "/run");
  files.link("/home/u/innocent", "/run/docker.sock");
  files.socket("/home/u/p/dev.sock");
  Plan plan = host.filesystem("sockets = [\"/var/run/postgresql/.s.PGSQL.5432\", \"?/run/no\"]");
  CHECK(shown(plan, "/run/postgresql/.s.PGSQL.5432") == "read");
  CHECK(plan.waivers.empty());
  CHECK(shown(host.filesystem("sockets = [\"${CWD}/dev.sock\"]"), "/home/u/p/dev.sock").empty());
  for (const char* path : {"/run/docker.sock", "/var/run/docker.sock", "~/innocent",
                           "/run/user/1000/bus", "/etc/passwd", "/run/absent"}) {
    CAPTURE(std::string(path));
    auto refused = host.try_filesystem(std::string("sockets = [\"") + path + "\"]");
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().status == 125);
    CHECK(has(refused.error().error.message(), "t.toml:3:12"));
  }
  Plan meant = host.filesystem(
      "hide = [\"/run/user\"]\nsockets = [{path = \"/run/user/1000/bus\", dangerous = true}]");
  CHECK(shown(meant, "/run/user/1000/bus") == "read");
  CHECK(has(all_notes(meant.waivers), "D-Bus"));
  auto docker = FakeHost::profile(
      "[filesystem]\nwrite = [\"${CWD}\"]\n"
      "sockets = [{path = \"/run/docker.sock\", dangerous = true}]\n");
  docker.hide.push_back({"/run/docker.sock", false, false, false, {"base.toml", 1, 1}});
  auto hidden = host.try_compile(docker);
  REQUIRE_FALSE(hidden.has_value());
  CHECK(has(hidden.error().error.message(), "base.toml:1:1 hides"));
}

TEST_CASE("known dangerous sockets") {
  for (const char* path : {"/run/docker.sock",
                           "/home/u/.docker/run/docker.sock",
                           "/run/user/1000/podman/podman.sock",
                           "/run/containerd/containerd.sock",
                           "/run/user/1000/bus",
                           "/run/dbus/system_bus_socket",
                           "/run/user/1000/gnupg/S.gpg-agent",
                           "/home/u/.gnupg/S.gpg-agent.ssh",
                           "/tmp/.X11-unix/X0",
                           "/run/user/1000/wayland-0",
                           "/tmp/tmux-1000/default",
                           "/tmp/ssh-AbC/agent.12",
                           "/run/snapd.socket",
                           "/run/libvirt/libvirt-sock",
                           "/run/WSL/8_interop",
                           "/run/systemd/private",
                           "/run/user/1000/systemd/private",
                           "/run/user/1000/keyring/ssh",
                           "/run/user/1000/vscode-ipc-1.sock",
                           "/var/lib/lxd/unix.socket"}) {
    CAPTURE(std::string(path));
    CHECK(socket_danger(path).has_value());
  }
  for (const char* path : {"/run/postgresql/.s.PGSQL.5432", "/run/mysqld/mysqld.sock",
                           "/srv/app/app.sock", "/run/redis/redis.sock"}) {
    CAPTURE(std::string(path));
    CHECK_FALSE(socket_danger(path).has_value());
  }
}

TEST_CASE("too many mounts are refused, with what asks for them") {
  FakeHost host;
  host.files.directory("/big");
  for (int i = 0; i < 5000; ++i) host.files.directory("/big/" + std::to_string(i));
  auto plan = host.try_filesystem("hide = [\"/big/7\"]\nread = [\"/big\"]");
  REQUIRE_FALSE(plan.has_value());
  CHECK(has(plan.error().error.message(), "t.toml:4"));
}

TEST_CASE("mountinfo: octal escapes, optional fields, short lines") {
  auto mounts = parse_mountinfo(
      "36 35 98:0 /a\\040b /mnt\\011c rw shared:1 master:2 - ext4 /dev/sda rw\n"
      "37 35 0:22 / /proc rw - proc proc rw\n\nshort\n38 35 8:1 / /x rw");
  REQUIRE(mounts.size() == 3);
  CHECK(mounts[0].root == "/a b");
  CHECK(mounts[0].point == "/mnt\tc");
  CHECK(mounts[0].type == "ext4");
  CHECK(mounts[1].type == "proc");
  CHECK(mounts[2].type.empty());
}

TEST_CASE("every limit and network rule is in the plan that is shown, with its line") {
  FakeHost host;
  std::string text = "[filesystem]\nread = [\"/usr\"]\nwrite = [\"${CWD}\"]\n[network]\n";
  std::string limits = "[limits]\n";
  for (const profiles::Row& row : profiles::schema()) {
    const std::string line = fmt::format("{} = {}\n", row.key, row.example);
    if (row.section == "limits") limits += line;
    if (row.section == "network")
      text += row.key == "mode"   ? "mode = \"proxy\"\n"
              : row.key == "deny" ? "deny = [\"x.test\"]\n"
                                  : line;
  }
  const auto plan = host.compile(FakeHost::profile(text + limits));
  const std::string shown = render_plan(plan, false);
  const Json json = plan_to_json(plan);
  for (const profiles::Row& row : profiles::schema()) {
    if (row.section != "limits" && row.section != "network") continue;
    CAPTURE(row.full_name());
    const JsonArray& values = *json.find(row.section)->as_array();
    auto found = std::find_if(values.begin(), values.end(), [&](const Json& value) {
      return *value.find("key")->as_string() == row.key;
    });
    REQUIRE(found != values.end());
    const std::string& value = *found->find("value")->as_string();
    const std::string& origin = *found->find("origin")->as_string();
    CHECK(origin.starts_with("t.toml:"));
    const std::size_t at = shown.find(fmt::format("\n  {} ", row.key));
    REQUIRE(at != shown.npos);
    const std::string line = shown.substr(at + 1, shown.find('\n', at + 1) - at);
    CHECK(has(line, value));
    CHECK(has(line, origin));
  }
  // Without a network no rule is in force, and a default is no line of the profile.
  const auto alone = host.compile(
      FakeHost::profile("network.allow = [\"x.test\"]\nfilesystem.write = [\"${CWD}\"]\n"));
  CHECK(alone.network_values.empty());
  CHECK_FALSE(has(render_plan(alone, false), "\nLimits"));
}

TEST_CASE("a limit of a name that no rule allows is warned of, with the name that was meant") {
  FakeHost host;
  auto warnings = [&](const std::string& limit) {
    std::vector<std::string> out;
    const auto plan = host.compile(FakeHost::profile(
        "filesystem.write = [\"${CWD}\"]\n[network]\nmode = \"proxy\"\n"
        "allow = [\"github.com\", \"*.api.example.com\", \"@npm\"]\n[[network.limits]]\nname = \"" +
        limit + "\"\nrate = \"1M\"\n"));
    for (const Note& note : plan.warnings) {
      if (has(note.text, "network.limits")) out.push_back(note.origin.text() + ": " + note.text);
    }
    return out;
  };
  for (const char* fine : {"github.com", "*.api.example.com", "v1.api.example.com", "*.example.com",
                           "*.v1.api.example.com", "registry.npmjs.org", "*.npmjs.org"}) {
    CAPTURE(fine);
    CHECK(warnings(fine).empty());
  }
  CHECK(
      warnings("gihtub.com") ==
      std::vector<std::string>{"t.toml:5:1: network.limits: no rule of allow names gihtub.com (did "
                               "you mean \"github.com\"?)"});
  for (const char* idle : {"api.example.com", "*.github.net", "github.com.example.org"}) {
    CAPTURE(idle);
    CHECK(warnings(idle).size() == 1);
  }
}

TEST_CASE(
    "a grant that the mode of the network leaves without effect is warned of, a closing is not") {
  auto warnings = [](profiles::Profile profile) {
    FakeHost host;
    std::vector<std::string> out;
    for (const Note& note : host.compile(std::move(profile)).warnings) {
      if (has(note.text, "no effect")) out.push_back(note.origin.text() + ": " + note.text);
    }
    return out;
  };
  const std::string text = "filesystem.write = [\"${CWD}\"]\n";
  CHECK(
      warnings(
          FakeHost::profile(text + "network.allow = [\"x.test\"]\nnetwork.mode = \"none\"\n")) ==
      std::vector<std::string>{"t.toml:2:18: network.allow: x.test has no effect, for network.mode "
                               "is \"none\" (t.toml:3:16)"});
  CHECK(warnings(FakeHost::profile(text +
                                   "[network]\nhost_ports = [\"1\", \"2\"]\npublish = [\"3\"]")) ==
        std::vector<std::string>{
            "t.toml:3:15: network.host_ports: 1 has no effect, for network.mode is \"none\"",
            "t.toml:4:12: network.publish: 3 has no effect, for network.mode is \"none\""});
  const std::string closed = text + "network.mode = \"none\"\n",
                    open = "network.mode = \"proxy\"\n", allow = "network.allow = [\"x.test\"]\n";
  auto extended = [](const std::string& base, const std::string& leaf) {
    return FakeHost::extended(FakeHost::profile(base), leaf, "leaf.toml");
  };
  CHECK(warnings(extended(closed, allow)) ==
        std::vector<std::string>{"leaf.toml:1:18: network.allow: x.test has no effect, for "
                                 "network.mode is \"none\" (t.toml:2:16)"});
  CHECK(warnings(extended(text + open + allow, "network.mode = \"none\"\n")).empty());
  CHECK(warnings(extended(closed, open + allow)).empty());
}

TEST_CASE("the plan of director, whole") {
  FakeHost host;
  auto& files = host.files;
  files.file("/home/u/.gitconfig");
  files.file("/home/u/.ssh/id_rsa");
  files.directory("/home/u/.swarm");
  files.program("/home/u/.local/share/claude/versions/2.1");
  files.link("/home/u/.local/bin/claude", "../share/claude/versions/2.1");
  host.set("AWS_SECRET_ACCESS_KEY", "never");
  host.command.argv = {"claude", "--version"};
  host.set("PATH", "/home/u/.local/bin:/usr/bin");
  profiles::Request request;
  request.system_dir = "";
  auto director = profiles::load_profile(request);
  REQUIRE(director.has_value());
  const std::string text = plan_to_json(host.compile(*director)).dump(true) + "\n";
  CHECK_FALSE(has(text, "never"));
  const std::string path = DIRBOX_SOURCE_DIR "/tests/golden/plan-director.json";
  if (std::getenv("DIRBOX_UPDATE_GOLDEN") != nullptr) {
    REQUIRE(replace_file(path, text, 0644).has_value());
  }
  auto golden = read_file(path);
  REQUIRE(golden.has_value());
  CHECK(*golden == text);
}
