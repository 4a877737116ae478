#include <algorithm>

#include "tests/unit/plan/fake_host.h"

using namespace dirbox;
using namespace dirbox::plan;

namespace {

std::string failure(const tl::expected<Plan, CompileError>& plan) {
  if (plan) return "compiled";
  CHECK(plan.error().status == 125);
  return plan.error().error.message();
}
bool has(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != text.npos;
  if (!found) MESSAGE(text);
  return found;
}

}  // namespace

TEST_CASE("the longest path wins; at equal length hide, protect, write, read") {
  FakeHost host;
  for (const char* path : {"/d/a/b/c", "/d/e"}) host.files.directory(path);
  const struct {
    const char *text, *write, *path, *expected;
  } rows[] = {
      {"read = [\"/d\"]", "", "/d", "read"},
      {"read = [\"/d\"]", ", \"/d/a\"", "/d/a", "write"},
      {"read = [\"/d/a\"]", ", \"/d\"", "/d/a", "read"},
      {"hide = [\"/d/a\"]", ", \"/d\"", "/d/a", "mask"},
      {"protect = [\"/d/a\"]", ", \"/d\"", "/d/a", "read"},
      {"protect = [\"/d/a\"]", "", "/d/a", ""},
      {"hide = [\"/d/a\"]\nread = [\"/d\"]", "", "/d/a", ""},
      {"hide = [\"/d/a\"]\nread = [\"/d\"]", "", "/d", "directory"},
      {"hide = [\"/d/a\"]\nread = [\"/d\"]", "", "/d/e", "read"},
      {"hide = [\"/d/a\"]\nread = [\"/d\", \"/d/a/b\"]", "", "/d/a/b", "read"},
      {"hide = [\"/d/a\"]\nread = [\"/d/a/b\"]", ", \"/d\"", "/d/a", "tmpfs"},
      {"hide = [\"/d/a\"]\nread = [\"/d/a/b\"]", ", \"/d\"", "/d/a/b", "read"},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.text));
    CAPTURE(std::string(row.write));
    CHECK(shown(host.filesystem(row.text, row.write), row.path) == row.expected);
  }
  FakeHost other;
  other.files.directory("/d/a");
  auto clash = other.filesystem("hide = [\"/d/b\"]\nread = [\"/d/a\"]", ", \"/d\"");
  CHECK(find_rule(clash, "/d/a/x")->access == PathAccess::read);
  CHECK(find_rule(clash, "/d/x")->access == PathAccess::write);
  CHECK(find_rule(clash, "/x") == nullptr);
}

TEST_CASE("what another file lets be written is read-only where it is protected itself") {
  FakeHost host;
  for (const char* path : {"/d/a/b", "/d/e"}) host.files.directory(path);
  const auto base = FakeHost::profile("[filesystem]\nwrite = [\"${CWD}\", \"/d\", \"/d/a/b\"]\n");
  auto access = [&](const std::string& text, const std::string& path) {
    return shown(host.compile(FakeHost::extended(base, "[filesystem]\n" + text, "u.toml")), path);
  };
  CHECK(access("protect = [\"${CWD}\"]", "/home/u/p") == "read");
  CHECK(access("protect = [\"/d\"]", "/d") == "read");
  CHECK(access("protect = [\"/d\"]", "/d/a/b") == "write");
  CHECK(access("protect = [\"/d\"]\nhide = [\"/d/e\"]", "/d") == "directory");
  CHECK(access("protect = [\"/d\"]\nhide = [\"/d/e\"]", "/d/a") == "read");
  CHECK(access("protect = [\"/d/a/b\"]\nhide = [\"/d/a\"]", "/d/a/b") == "read");
}

TEST_CASE("places over a bound tree are recognised, not trusted") {
  FakeHost host;
  host.files.directory("/d/a/b");
  Plan plan = host.filesystem("hide = [\"/d/a\"]\nread = [\"/d/a/b\"]", ", \"/d\"");
  CHECK_FALSE(mount_at(plan, "/d/a")->in_root);
  CHECK(mount_at(plan, "/d/a")->id == host.files.stat("/d/a").id);
  CHECK(mount_at(plan, "/d/a/b")->in_root);
  CHECK(mount_at(plan, "/d/a/b")->beneath_bind);
  CHECK_FALSE(mount_at(plan, "/home/u/p")->beneath_bind);
  Plan masked = host.filesystem("hide = [\"/d/a\"]", ", \"/d\"");
  CHECK(mount_at(masked, "/d/a")->id == host.files.stat("/d/a").id);
}

TEST_CASE("a private home has only what is granted") {
  FakeHost host;
  host.files.file("/home/u/.ssh/id");
  host.files.file("/home/u/.gitconfig");
  Plan plan = host.filesystem("hide = [\"~/.ssh\"]\nread = [\"~/.gitconfig\", \"?~/.absent\"]");
  CHECK(shown(plan, "/home/u") == "tmpfs");
  CHECK(shown(plan, "/home/u/.gitconfig") == "read");
  CHECK(shown(plan, "/home/u/.ssh").empty());
  CHECK(shown(plan, "/home/u/.absent").empty());
  CHECK(shown(plan, "/home/u/p") == "write");
}

TEST_CASE("a masked home is taken apart around what is hidden") {
  FakeHost host;
  host.files.file("/home/u/.ssh/id");
  host.files.file("/home/u/.config/gh/token");
  host.files.file("/home/u/.config/app/x");
  host.files.file("/home/u/.bashrc");
  host.files.socket("/home/u/.config/app.sock");
  host.files.other("/home/u/fifo", 010644);
  host.files.link("/home/u/way", ".ssh");
  Plan plan = host.filesystem("home = \"masked\"\nhide = [\"~/.ssh\", \"~/.config/gh\"]");
  CHECK(shown(plan, "/home/u") == "directory");
  CHECK(shown(plan, "/home/u/.ssh").empty());
  CHECK(shown(plan, "/home/u/.config") == "directory");
  CHECK(shown(plan, "/home/u/.config/gh").empty());
  CHECK(shown(plan, "/home/u/.config/app") == "read");
  CHECK(shown(plan, "/home/u/.config/app.sock").empty());
  CHECK(shown(plan, "/home/u/fifo").empty());
  CHECK(shown(plan, "/home/u/way") == "link .ssh");
  CHECK(shown(plan, "/home/u/.bashrc") == "read");
  CHECK(shown(plan, "/home/u/p") == "write");
  Plan whole = host.filesystem("home = \"host\"\nhide = [\"~/.ssh\"]");
  CHECK(shown(whole, "/home/u") == "write");
  CHECK(shown(whole, "/home/u/.ssh") == "mask");
  CHECK(shown(whole, "/home/u/p").empty());  // writable with the home
}

TEST_CASE("a private home stays private within a grant that holds it") {
  FakeHost host;
  host.files.file("/opt/jobs/me/secret");
  host.files.file("/opt/jobs/other/x");
  host.facts.home = "/opt/jobs/me";
  Plan plan = host.filesystem("read = [\"/opt\"]");
  CHECK(shown(plan, "/opt/jobs/me") == "tmpfs");
  CHECK(shown(plan, "/opt/jobs/me/secret").empty());
  CHECK(shown(plan, "/opt/jobs/other") == "read");
  CHECK(has(failure(host.try_filesystem("", ", \"/opt\"")), "private"));
}

TEST_CASE("a symlinked home, and links to grants, are made again") {
  FakeHost host;
  host.files.directory("/var/home/v/p");
  host.files.directory("/var/home/v/.ssh");
  host.files.file("/var/home/v/dotfiles/gitconfig");
  host.files.link("/var/home/v/.gitconfig", "dotfiles/gitconfig");
  host.files.link("/hm", "var/home");
  host.facts.home = "/hm/v";
  host.work_in("/var/home/v/p");
  Plan plan = host.filesystem("hide = [\"~/.ssh\"]\nread = [\"~/.gitconfig\"]");
  CHECK(shown(plan, "/hm") == "link var/home");
  CHECK(shown(plan, "/var/home/v") == "tmpfs");
  CHECK(shown(plan, "/var/home/v/.gitconfig") == "link dotfiles/gitconfig");
  CHECK(shown(plan, "/var/home/v/dotfiles/gitconfig") == "read");
  CHECK(find_rule(plan, "/var/home/v/.ssh/x")->access == PathAccess::hide);
}

TEST_CASE("a hidden path is hidden under each of its names") {
  FakeHost host;
  host.files.file("/home/u/dotfiles/ssh/id");
  host.files.link("/home/u/.ssh", "dotfiles/ssh");
  host.files.link("/hm", "home");
  host.facts.home = "/hm/u";
  Plan plan = host.filesystem("home = \"masked\"\nhide = [\"~/.ssh\"]");
  CHECK(shown(plan, "/home/u/.ssh").empty());
  CHECK(find_rule(plan, "/home/u/.ssh")->access == PathAccess::hide);
  CHECK(shown(plan, "/home/u/dotfiles/ssh").empty());
  CHECK(shown(plan, "/home/u/dotfiles") == "directory");
}

TEST_CASE("bind mounts are other names of what is hidden") {
  FakeHost host;
  host.files.file("/home/u/.ssh/keys/id");
  host.files.directory("/mnt/home/u/.ssh");
  host.files.directory("/mnt/keys");
  host.files.directory("/mnt/rest");
  host.facts.mounts = {{"8:1", "/", "/", "ext4"},
                       {"8:1", "/home", "/mnt/home", "ext4"},
                       {"8:1", "/home/u/.ssh/keys", "/mnt/keys", "ext4"},
                       {"8:2", "/", "/mnt/rest", "ext4"}};
  Plan plan = host.filesystem("hide = [\"~/.ssh\"]\nread = [\"/mnt\"]");
  CHECK(shown(plan, "/mnt/home/u/.ssh").empty());
  CHECK(shown(plan, "/mnt/home/u") == "directory");
  CHECK(shown(plan, "/mnt/keys").empty());
  CHECK(shown(plan, "/mnt/rest") == "read");
}

TEST_CASE("a kernel file system within a grant is hidden") {
  FakeHost host;
  host.files.directory("/home/u/p/chroot/proc");
  host.facts.mounts = {{"8:1", "/", "/", "ext4"},
                       {"0:22", "/", "/proc", "proc"},
                       {"0:22", "/", "/home/u/p/chroot/proc", "proc"}};
  Plan plan = host.filesystem("");
  CHECK(shown(plan, "/home/u/p/chroot/proc") == "mask");
}

TEST_CASE("a cgroup is shown only where it is named") {
  FakeHost host;
  host.files.directory("/home/u/p/chroot/cgroup");
  host.files.directory("/sys/fs/cgroup");
  host.facts.mounts = {{"8:1", "/", "/", "ext4"},
                       {"0:25", "/", "/sys/fs/cgroup", "cgroup2"},
                       {"0:25", "/", "/home/u/p/chroot/cgroup", "cgroup2"}};
  Plan plan = host.filesystem("read = [\"/sys/fs/cgroup\"]");
  CHECK(shown(plan, "/home/u/p/chroot/cgroup") == "mask");
  CHECK(shown(plan, "/sys/fs/cgroup") == "read");
}

TEST_CASE("symlinks that a sandbox may have made lead nowhere") {
  FakeHost host;
  host.files.file("/home/u/other/.env");
  host.files.directory("/home/u/p/real");
  host.files.link("/home/u/p/way", "/home/u/other");
  host.files.link("/home/u/p/deep", "../other");
  host.files.link("/home/u/p/inner", "real");
  CHECK(has(failure(host.try_filesystem("read = [\"/home/u/p/way\"]")), "writable tree"));
  // Whatever the order of the entries.
  auto before = FakeHost::profile("[filesystem]\nwrite = [\"~/p/deep/cache\", \"${CWD}\"]\n");
  host.files.directory("/home/u/other/cache");
  CHECK(has(failure(host.try_compile(before)), "writable tree"));
  Plan optional = host.filesystem("read = [\"?${CWD}/way\"]");
  CHECK(shown(optional, "/home/u/other").empty());
  CHECK(has(all_notes(optional.warnings), "not granted"));
  CHECK(shown(host.filesystem("read = [\"${CWD}/inner\"]"), "/home/u/p/real") == "read");
  // Nothing is made on the host through a dangling one.
  host.files.link("/home/u/p/new", "/home/u/autostart");
  CHECK(has(failure(host.try_filesystem("", ", {path = \"${CWD}/new/d\", create = true}")),
            "writable tree"));
}

TEST_CASE("a grant by a symlink in the home is said") {
  FakeHost host;
  host.files.directory("/data/work");
  host.files.link("/home/u/q/work", "/data/work");
  host.files.link("/home/u/.swarm", "/data/work");
  CHECK(has(all_notes(host.filesystem("", ", \"~/q/work\"").warnings), "make sure that it is"));
  CHECK(host.filesystem("", ", \"~/.swarm\"").warnings.empty());
  CHECK(has(all_notes(host.filesystem("read = [\"~/q/work\"]").warnings), "make sure that it is"));
  CHECK(host.filesystem("read = [\"~/.swarm\"]").warnings.empty());
  CHECK(host.filesystem("read = [\"/data\", \"~/q/work\"]").warnings.empty());  // shown anyway
}

TEST_CASE("the sockets of the sessions are hidden, wherever they are") {
  FakeHost host;
  host.files.socket("/run/user/1000/dirbox/s/control");
  host.files.file("/run/user/1000/other");
  host.files.socket("/srv/rt/dirbox/s/control");
  for (const char* base : {"/run/user/1000", "/srv/rt"}) {
    CAPTURE(std::string(base));
    host.set("XDG_RUNTIME_DIR", std::string(base) == "/srv/rt" ? base : "");
    Plan plan = host.filesystem("", ", \"" + std::string(base) + "\"");
    CHECK(shown(plan, base) == "write");
    CHECK(shown(plan, std::string(base) + "/dirbox") == "mask");
  }
}

TEST_CASE("a symlink does not open what is hidden") {
  FakeHost host;
  host.files.file("/home/u/.ssh/pub/key");
  host.files.link("/home/u/keys", ".ssh/pub");
  CHECK(has(failure(host.try_filesystem("hide = [\"~/.ssh\"]\nread = [\"~/keys\"]")), "t.toml:3"));
  CHECK(shown(host.filesystem("hide = [\"~/.ssh\"]\nread = [\"~/.ssh/pub\"]"),
              "/home/u/.ssh/pub") == "read");
}

TEST_CASE("loops, missing paths, and what is to be made") {
  FakeHost host;
  host.files.link("/loop", "loop");
  host.files.link("/one", "two");
  host.files.link("/two", "one");
  for (const char* path : {"/loop", "/one/x", "/absent", "/usr/bin/true/x"}) {
    CAPTURE(std::string(path));
    CHECK(failure(host.try_filesystem(std::string("read = [\"") + path + "\"]")) != "compiled");
    CHECK(host.try_filesystem(std::string("read = [\"?") + path + "\"]").has_value());
    CHECK(host.try_filesystem(std::string("hide = [\"") + path + "\"]").has_value());
    CHECK(host.try_filesystem(std::string("protect = [\"") + path + "\"]").has_value());
  }
  Plan plan = host.filesystem("", ", {path = \"~/.swarm\", create = true}");
  CHECK(plan.missing_directories == std::vector<std::string>{"/home/u/.swarm"});
}

TEST_CASE("protect follows a symlink and says what it cannot hold") {
  FakeHost host;
  host.files.directory("/home/u/p/real/hooks");
  host.files.at("/home/u/p/.git") = {FileType::symlink, "real", 0120777, 99, 1};
  Plan plan = host.filesystem("protect = [\"?${PROJECT}/.git/hooks\"]");
  CHECK(shown(plan, "/home/u/p/real/hooks") == "read");
  CHECK(has(all_notes(plan.warnings), "can be replaced inside"));
  // Where nothing is writable it grants nothing, and is no rule that hides a need for one.
  host.files.directory("/data");
  CHECK(find_rule(host.filesystem("protect = [\"/data\"]"), "/data") == nullptr);
}

TEST_CASE("what lies above a hidden or protected path stays where it is") {
  FakeHost host;
  host.files.directory("/home/u/p/a/b/c");
  host.files.directory("/home/u/p/d/e");
  host.files.directory("/home/u/p/.git/hooks");
  host.files.directory("/home/u/p/x/y");
  host.files.directory("/data/z");
  Plan plan = host.filesystem(
      "hide = [\"${PROJECT}/a/b/c\", \"${PROJECT}/x/absent/key\", \"/data/z\"]\nread = "
      "[\"/data\"]\n"
      "protect = [\"?${PROJECT}/.git/hooks\", \"${PROJECT}/d/e\"]");
  const auto is_held = [&](const char* path) {
    const PathRule* rule = find_rule(plan, path);
    return rule != nullptr && rule->path == path && rule->access == PathAccess::write &&
           rule->mounted;
  };
  for (const char* path : {"/home/u/p/a", "/home/u/p/a/b", "/home/u/p/d"}) CHECK(is_held(path));
  for (const char* path : {"/home/u/p", "/home/u/p/.git", "/home/u/p/x", "/data"})
    CHECK_FALSE(is_held(path));
  host.files.directory("/home/u/p/x/y/z");
  plan = host.filesystem("hide = [\"${PROJECT}/x/*/z\", \"${PROJECT}/a/*/absent\"]");
  CHECK(is_held("/home/u/p/x"));
  CHECK_FALSE(is_held("/home/u/p/x/y"));
  CHECK_FALSE(is_held("/home/u/p/a"));
}

TEST_CASE("what dirbox makes itself is not granted") {
  FakeHost host;
  host.files.other("/dev/kvm", 020660);
  host.files.other("/home/u/disk", 060660);
  host.files.other("/home/u/fifo", 010600);
  host.files.socket("/home/u/sock");
  host.files.directory("/sys/devices/system/cpu");
  for (const char* path : {"/", "/proc", "/proc/sys", "/sys", "/dev", "/dev/kvm", "/tmp",
                           "/var/tmp", "/run", "/etc/passwd", "/home/u/sock", "/home/u/disk"}) {
    CAPTURE(std::string(path));
    CHECK(
        has(failure(host.try_filesystem(std::string("read = [\"") + path + "\"]")), "t.toml:3:9"));
    CHECK(failure(host.try_filesystem("", std::string(", \"") + path + "\"")) != "compiled");
  }
  for (const char* path : {"/etc", "/var", "/home", "/sys/devices/system"}) {
    CAPTURE(std::string(path));
    CHECK(failure(host.try_filesystem("", std::string(", \"") + path + "\"")) != "compiled");
    CHECK(host.try_filesystem(std::string("read = [\"") + path + "\"]").has_value());
  }
  CHECK(shown(host.filesystem("read = [\"~/fifo\"]"), "/home/u/fifo") == "read");
}

TEST_CASE("a grant of /etc does not replace the sandbox's own files") {
  FakeHost host;
  host.files.file("/etc/locked", "x", 0600);
  host.files.link("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
  host.files.directory("/etc/app");
  Plan plan = host.filesystem("read = [\"/etc\"]");
  CHECK(shown(plan, "/etc") == "directory");
  CHECK(shown(plan, "/etc/passwd") == "file");
  CHECK(shown(plan, "/etc/resolv.conf") == "file");
  CHECK(shown(plan, "/etc/localtime") == "copy");
  CHECK(shown(plan, "/etc/locked") == "read");  // its mode decides, as outside
  Plan writing = host.filesystem("", ", \"/etc/app\"");
  CHECK(std::any_of(writing.spec.landlock_rules.begin(), writing.spec.landlock_rules.end(),
                    [](const auto& rule) {
                      return rule.path == "/etc/app" && rule.access == sandbox::Access::write;
                    }));
  Plan var = host.filesystem("read = [\"/var\"]");
  CHECK(shown(var, "/var/tmp") == "tmpfs");
}

TEST_CASE("a project in a private directory is granted, the directory is not") {
  FakeHost host;
  host.files.directory("/tmp/x");
  host.files.directory("/tmp/.git");  // made by another user
  host.work_in("/tmp/x");
  Plan plan = host.filesystem("");
  CHECK(shown(plan, "/tmp") == "tmpfs");
  CHECK(shown(plan, "/tmp/x") == "write");
  CHECK(plan.project == "/tmp/x");
  host.work_in("/tmp");
  CHECK(has(failure(host.try_filesystem("")), "private"));
}

TEST_CASE("working directories that are too much") {
  FakeHost host;
  host.files.file("/home/u/.ssh/id");
  host.files.file("/home/u/p/s/key");
  for (const char* path : {"/", "/home", "/home/u", "/home/u/.ssh"}) {
    CAPTURE(std::string(path));
    host.work_in(path);
    CHECK(has(failure(host.try_filesystem("hide = [\"~/.ssh\"]")), "use the working directory"));
  }
  host.work_in("/home/u/p");
  CHECK(has(failure(host.try_filesystem("hide = [\"~/p/s\"]")), "t.toml:3"));
  CHECK(host.try_filesystem("hide = [\"${CWD}/s\"]").has_value());
  profiles::Profile typed = FakeHost::profile("[filesystem]\nwrite = [\"${CWD}\"]\n");
  profiles::Overrides overrides;
  overrides.cwd = "/home/u/p";
  overrides.hide = {"s"};
  REQUIRE(profiles::apply_overrides(typed, overrides).has_value());
  CHECK(shown(host.compile(typed), "/home/u/p/s") == "mask");

  host.command.force_cwd = true;
  host.command.argv = {"true"};
  CHECK(host.try_filesystem("hide = [\"~/p/s\"]").has_value());
  host.work_in("/home/u");
  Plan home = host.filesystem("hide = [\"~/.ssh\"]");
  CHECK(shown(home, "/home/u") == "write");
  CHECK(shown(home, "/home/u/.ssh") == "mask");
  host.work_in("/");
  Plan root = host.filesystem("");
  CHECK(shown(root, "/").empty());
  CHECK(has(all_notes(root.warnings), "not granted"));
  host.work_in("/home/u/.ssh");
  CHECK(failure(host.try_filesystem("hide = [\"~/.ssh\"]")) != "compiled");
}

TEST_CASE("a working directory that was swapped is refused") {
  FakeHost host;
  host.facts.cwd_id.inode += 1;
  CHECK(has(failure(host.try_filesystem("")), "another directory"));
  host.work_in("/home/u/p");
  host.files.directory("/home/u/evil");
  host.files.at("/home/u/p").type = FileType::symlink;
  host.files.at("/home/u/p").text = "evil";
  CHECK(has(failure(host.try_filesystem("")), "another directory"));
}

TEST_CASE("a $HOME that is not the account's does not uncover the account's secrets") {
  FakeHost host;
  host.files.file("/home/u/p/.ssh/id");
  host.files.directory("/srv/fake");
  host.facts.home = "/srv/fake";
  host.facts.account_home = "/home/u/p";
  CHECK(has(failure(host.try_filesystem("hide = [\"~/.ssh\"]")), "it is your home"));
  host.command.force_cwd = true;
  CHECK(shown(host.filesystem("hide = [\"~/.ssh\"]"), "/home/u/p/.ssh") == "mask");
}

TEST_CASE("odd names stay what they are") {
  FakeHost host;
  for (const std::string& name :
       {std::string("a b"), std::string("a:b"), std::string("a,b"), std::string("-rf"),
        std::string("n\nl"), std::string("\xff\xfe")}) {
    host.files.directory("/home/u/p/" + name);
    host.work_in("/home/u/p/" + name);
    Plan plan = host.filesystem("");
    CHECK(shown(plan, "/home/u/p/" + name) == "write");
    CHECK(render_plan(plan, false).find('\xff') == std::string::npos);
    CHECK(Json::parse(plan_to_json(plan).dump(false)).has_value());
  }
}
