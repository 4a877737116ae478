#include "launcher/doctor/diagnose.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/doctor/apparmor.h"
#include "launcher/doctor/checks.h"
#include "launcher/doctor/doctor.h"
#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::doctor;

namespace {

/// A machine on which nothing is in the way.
HostState plain_host() {
  HostState state;
  state.euid = 1000;
  state.self = "/usr/local/bin/dirbox";
  state.release = "6.1.0";
  state.major = 6;
  state.minor = 1;
  state.proc = true;
  return state;
}

bool holds(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

/// A fake root directory of files, removed at the end.
class Tree {
 public:
  void add(const std::string& path, const std::string& text) const {
    REQUIRE(make_directories(path_parent(scratch_.path + path)));
    REQUIRE(replace_file(scratch_.path + path, text));
  }
  const std::string& root() const { return scratch_.path; }

 private:
  const Scratch scratch_;
};

}  // namespace

TEST_CASE("a refusal by AppArmor is cured by a profile for this program's path") {
  HostState state = plain_host();
  state.sysctls["kernel.apparmor_restrict_unprivileged_userns"] = 1;
  for (auto [kind, outcome] : {std::pair{Kind::user_namespace, refused("clone3", "", EACCES)},
                               {Kind::id_map, refused("open", "/proc/self/uid_map", EACCES)},
                               {Kind::capability, refused("sendmsg", "lo", EPERM)}}) {
    const Diagnosis d = diagnose(kind, outcome, state);
    CHECK(holds(d.cause, "kernel.apparmor_restrict_unprivileged_userns = 1"));
    CHECK(holds(d.fix, state.self));
    REQUIRE(d.commands.size() == 2);
    CHECK(d.commands[0].starts_with("sudo tee /etc/apparmor.d/dirbox."));
    CHECK(holds(d.commands[0], "\"/usr/local/bin/dirbox\" flags=(unconfined) {\n  userns,\n}"));
    CHECK(d.commands[1].starts_with("sudo apparmor_parser -r /etc/apparmor.d/dirbox."));
  }
  state.self_replaceable = true;
  CHECK(holds(diagnose(Kind::id_map, refused("open", "x", EACCES), state).fix, "/usr/local/bin"));
  // Root is not restricted, and its commands need no sudo.
  state.euid = 0;
  CHECK_FALSE(holds(diagnose(Kind::id_map, refused("open", "x", EACCES), state).cause, "AppArmor"));
}

TEST_CASE("AppArmor profiles name one path, whatever is in it") {
  CHECK(apparmor_file("/usr/bin/dirbox") == "/etc/apparmor.d/dirbox");
  CHECK(apparmor_file("/a/dirbox") != apparmor_file("/b/dirbox"));
  CHECK(holds(apparmor_profile("/home/a b/*{x}@/d\"irbox"),
              "\"/home/a b/\\*\\{x\\}\\@/d\\\"irbox\""));
}

TEST_CASE("causes of a refused user namespace") {
  struct Case {
    const char* sysctl;
    long value;
    int err;
    const char* cause;
    const char* command;
  };
  for (const Case& c :
       {Case{"user.max_user_namespaces", 0, ENOSPC, "user.max_user_namespaces is 0",
             "sudo sysctl -w user.max_user_namespaces=15000"},
        {"user.max_user_namespaces", 9, EUSERS, "is used up",
         "sudo sysctl -w user.max_user_namespaces=15000"},
        {"kernel.unprivileged_userns_clone", 0, EPERM, "kernel.unprivileged_userns_clone is 0",
         "sudo sysctl -w kernel.unprivileged_userns_clone=1"}}) {
    HostState state = plain_host();
    state.sysctls[c.sysctl] = c.value;
    const Diagnosis d = diagnose(Kind::user_namespace, refused("clone3", "", c.err), state);
    CHECK(holds(d.cause, c.cause));
    REQUIRE(d.commands.size() == 2);
    CHECK(d.commands[0] == c.command);
    CHECK(holds(d.commands[1], "/etc/sysctl.d/60-dirbox.conf"));
  }
  HostState state = plain_host();
  state.selinux_enforcing = true;
  CHECK(holds(diagnose(Kind::user_namespace, refused("clone3", "", EACCES), state).commands[0],
              "audit2allow"));
  state = plain_host();
  state.chrooted = true;
  CHECK(holds(diagnose(Kind::user_namespace, refused("clone3", "", EPERM), state).cause, "chroot"));
  state = plain_host();
  CHECK(holds(diagnose(Kind::user_namespace, refused("clone3", "", EINVAL), state).cause,
              "CONFIG_USER_NS"));
}

TEST_CASE("a call that is missing: the kernel's age, a filter, or how it was built") {
  HostState state = plain_host();
  const Outcome outcome = refused("mount_setattr", "/", ENOSYS);
  CHECK(holds(diagnose(Kind::capability, outcome, state).cause, "built without"));
  state.seccomp = 2;
  CHECK(holds(diagnose(Kind::capability, outcome, state).cause, "a seccomp filter"));
  state.container = "podman";
  CHECK(holds(diagnose(Kind::capability, outcome, state).fix, "podman run --security-opt"));
  state.release = "5.10.0-9-amd64";
  state.major = 5;
  state.minor = 10;
  CHECK(holds(diagnose(Kind::capability, outcome, state).cause,
              "Linux 5.10.0-9-amd64 has no mount_setattr, which came with 5.12"));
  const Outcome killed{State::failed, 0, SIGSYS, {}, "killed"};
  CHECK(holds(diagnose(Kind::plain, killed, state).cause, "a seccomp filter"));
}

TEST_CASE("Landlock that is not in force is put on the kernel's command line, or waived") {
  HostState state = plain_host();
  state.modules = "lockdown,capability,yama";
  const Diagnosis off =
      diagnose(Kind::landlock, refused("landlock_create_ruleset", "", EOPNOTSUPP), state);
  CHECK(holds(off.fix, "lsm=landlock,lockdown,capability,yama"));
  CHECK(holds(off.fix, "[require] landlock = \"optional\""));
  const Diagnosis absent =
      diagnose(Kind::landlock, refused("landlock_create_ruleset", "", ENOSYS), state);
  CHECK(holds(absent.fix, "[require] landlock = \"optional\""));
}

TEST_CASE("Yama, overlay, docker, cgroup") {
  HostState state = plain_host();
  state.sysctls["kernel.yama.ptrace_scope"] = 3;
  const Diagnosis yama =
      diagnose(Kind::process_memory, refused("process_vm_readv", "", EPERM), state);
  CHECK(yama.cause == "kernel.yama.ptrace_scope is 3");
  CHECK(holds(yama.fix, "restart"));
  CHECK(diagnose(Kind::overlay, refused("fsopen", "overlay", ENODEV), state).commands.at(0) ==
        "sudo modprobe overlay");
  CHECK(holds(diagnose(Kind::docker, refused("connect", "/x", EACCES), state).fix, "root"));
  CHECK(holds(diagnose(Kind::cgroup, refused("mkdir", "/x", EACCES), state).fix, "Delegate=yes"));
}

TEST_CASE("every cause has a fix") {
  for (const Check& check : checks()) {
    if (check.need == Need::telling) continue;
    for (int err : {EPERM, EACCES, ENOSYS, ENOSPC, EINVAL, ENOENT, EROFS, ENODEV, ETIMEDOUT}) {
      HostState bare;
      for (const HostState& state : {plain_host(), bare}) {
        const Diagnosis d = diagnose(check.kind, refused("call", "operand", err), state);
        CHECK_MESSAGE(!d.cause.empty(), check.name);
        CHECK_MESSAGE(!d.fix.empty(), check.name);
      }
    }
  }
}

TEST_CASE("the table: names are unique, and what a check builds on stands before it") {
  std::vector<std::string_view> seen;
  for (const Check& check : checks()) {
    CHECK(std::find(seen.begin(), seen.end(), check.name) == seen.end());
    if (!check.builds_on.empty())
      CHECK(std::find(seen.begin(), seen.end(), check.builds_on) != seen.end());
    seen.push_back(check.name);
  }
}

TEST_CASE("the host's state is read from its files") {
  Tree tree;
  tree.add("/proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n");
  tree.add("/proc/sys/user/max_user_namespaces", "0\n");
  tree.add("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
  tree.add("/sys/module/apparmor/parameters/enabled", "Y\n");
  tree.add("/sys/fs/selinux/enforce", "1");
  tree.add("/sys/kernel/security/lsm", "lockdown,apparmor\n");
  tree.add("/proc/self/attr/current", "unconfined\n");
  tree.add("/proc/self/status", "Name:\tx\nSeccomp:\t2\n");
  tree.add("/proc/self/uid_map", "         0     100000      65536\n");
  tree.add("/proc/self/cgroup", "1:name=systemd:/\n0::/user.slice/a\n");
  tree.add("/proc/self/mountinfo",
           "30 1 0:5 / / rw - ext4 /dev/vda rw\n"
           "31 30 0:6 / /proc rw master:1 - proc proc rw\n"
           "32 31 0:7 / /proc/kcore rw - tmpfs tmpfs rw\n"
           "33 31 0:8 / /proc/sys/fs/binfmt_misc rw - binfmt_misc x rw\n"
           "34 30 0:9 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
  tree.add("/.dockerenv", "");
  const HostState state = read_host_state(tree.root());
  CHECK((state.major == 5 && state.minor == 15));
  CHECK(state.wsl == 2);
  CHECK(state.sysctl("user.max_user_namespaces") == 0);
  CHECK(state.sysctl("kernel.apparmor_restrict_unprivileged_userns") == 1);
  CHECK_FALSE(state.sysctl("kernel.yama.ptrace_scope"));
  CHECK(state.apparmor);
  CHECK(state.selinux_enforcing);
  CHECK(state.modules == "lockdown,apparmor");
  CHECK(state.label == "unconfined");
  CHECK(state.seccomp == 2);
  CHECK(state.nested);
  CHECK(state.cgroup == "/sys/fs/cgroup/user.slice/a");
  CHECK(state.root_type == "ext4");
  CHECK_FALSE(state.chrooted);
  CHECK(state.proc_covers == std::vector<std::string>{"/proc/kcore"});
  CHECK(state.container == "docker");
}

TEST_CASE("within a sandbox no container is blamed") {
  Tree tree;
  tree.add("/run/dirbox/policy.json", "{}");
  HostState state = read_host_state(tree.root());
  CHECK(state.inside);
  state.seccomp = 2;
  const Diagnosis d = diagnose(Kind::user_namespace, refused("clone3", "", ENOSYS), state);
  CHECK(holds(d.cause, "inside a sandbox of dirbox"));
  CHECK(holds(d.fix, "process.nested_userns"));
  CHECK_FALSE(holds(d.fix, "docker"));
}

TEST_CASE("an empty machine is no error") {
  Tree tree;
  const HostState state = read_host_state(tree.root());
  CHECK_FALSE(state.proc);
  CHECK(state.sysctls.empty());
  CHECK(state.container.empty());
}

TEST_CASE("fixes: each once, as a script; a feature that is missing is no failure") {
  Report report;
  report.state = plain_host();
  const Check* userns = nullptr;
  const Check* docker = nullptr;
  for (const Check& check : checks()) {
    if (check.name == "userns") userns = &check;
    if (check.name == "docker") docker = &check;
  }
  Finding missing{docker, refused("connect", "/x\n", EACCES), {"no\nway", "join", {"usermod"}}};
  report.findings = {missing};
  CHECK(report.status() == 0);
  Finding first{userns, refused("clone3", "", EPERM), {"cause", "fix", {"one", "two"}}};
  report.findings = {first, first, missing};
  CHECK(report.status() == 1);
  CHECK(render_fixes(report) == "# userns: cause\none\ntwo\n# docker: no\\nway\nusermod\n");
  const std::string text = render_report(report, false, false);
  CHECK(holds(text, "FAILED   userns"));
  CHECK(holds(text, "missing  docker"));
  CHECK(holds(text, "clone3: EPERM (Operation not permitted)"));
  report.findings = {};
  CHECK(render_fixes(report) == "# nothing to fix\n");
}
