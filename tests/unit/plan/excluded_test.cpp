#include "launcher/plan/excluded.h"

#include <algorithm>

#include "launcher/plan/swarm.h"
#include "tests/unit/plan/fake_host.h"

using namespace dirbox;
using namespace dirbox::plan;

namespace {

const std::string kBase = "[filesystem]\nread = [\"/usr\"]\nwrite = [\"${CWD}\"]\n";
const std::string kDocker =
    "[[excluded]]\ncommand = \"docker\"\nmode = \"host\"\nallow = [\"ps [-*]\"]\ndeny = [{rule = "
    "\"ps --all\", reason = \"not all\"}]\n";

struct Host : FakeHost {
  Host() { files.program("/usr/bin/docker"); }
  Plan plan(const std::string& text) { return compile(profile(kBase + text)); }
};

ExecAnswer ask(const Plan& plan, std::vector<std::string> argv) { return explain_exec(plan, argv); }

}  // namespace

TEST_CASE("without excluded commands nothing changes") {
  Host host;
  Plan plan = host.plan("");
  CHECK(plan.excluded.empty());
  CHECK(plan.writable_roots.empty());
  CHECK(mount_at(plan, "/.dirbox/bin/docker") == nullptr);
}

TEST_CASE("a shim is first in PATH and over the file of the name") {
  Host host;
  host.files.program("/usr/lib/multi");
  host.files.link("/usr/local/bin/docker", "/usr/lib/multi");
  host.command.argv = {"docker", "ps"};
  Plan plan = host.plan("[environment]\npass = [\"PATH\"]\n" + kDocker);
  REQUIRE(plan.excluded.size() == 1);
  CHECK(plan.excluded[0].program == "/usr/local/bin/docker");
  CHECK(plan.spec.executable == "/.dirbox/bin/docker");
  CHECK(plan.host_path == "/usr/local/bin:/usr/bin:/bin");
  const auto* made = mount_at(plan, "/.dirbox/bin/docker");
  REQUIRE(made != nullptr);
  CHECK((made->kind == sandbox::MountKind::shim && made->in_root && made->source == "docker"));
  const auto* over = mount_at(plan, "/usr/bin/docker");
  REQUIRE(over != nullptr);
  CHECK((over->kind == sandbox::MountKind::shim && !over->in_root));
  // A program of another name may be many programs.
  CHECK(mount_at(plan, "/usr/lib/multi") == nullptr);
  auto path = std::find_if(plan.environment.begin(), plan.environment.end(),
                           [](const EnvironmentVariable& e) { return e.name == "PATH"; });
  REQUIRE(path != plan.environment.end());
  CHECK(path->value == "/.dirbox/bin:/usr/local/bin:/usr/bin:/bin");
}

TEST_CASE("what the sandbox can write is no host command") {
  Host host;
  host.files.program("/home/u/p/bin/docker");
  host.files.link("/opt/bin", "/home/u/p/bin");
  host.set("PATH", "/home/u/p/bin:/opt/bin:bin:/usr/bin");
  Plan plan = host.plan(kDocker);
  REQUIRE(plan.excluded.size() == 1);
  CHECK(plan.excluded[0].program == "/usr/bin/docker");
  CHECK(plan.host_path == "/usr/bin");
  CHECK(mount_at(plan, "/home/u/p/bin/docker") == nullptr);

  host.set("PATH", "/home/u/p/bin");
  CHECK(host.plan(kDocker).excluded.empty());
  CHECK(all_notes(host.plan(kDocker).notes).find("docker is not excluded") != std::string::npos);
  auto profile = FakeHost::profile(kBase);
  profiles::Overrides overrides;
  overrides.cwd = "/home/u/p";
  overrides.exclude = {"docker"};
  REQUIRE(profiles::apply_overrides(profile, overrides).has_value());
  auto refused = host.try_compile(profile);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().error.err == ENOENT);
}

TEST_CASE("host commands are announced, and modes that do not serve are refused") {
  Host host;
  host.files.program("/usr/bin/tmux");
  const std::string tmux = "[[excluded]]\ncommand = \"tmux\"\nmode = ";
  CHECK(all_notes(host.plan(tmux + "\"host\"\n").waivers).find("no sandbox") != std::string::npos);
  CHECK(all_notes(host.plan(kDocker).waivers).find("where its rules permit") != std::string::npos);
  CHECK(host.plan(tmux + "\"inside\"\n").excluded.empty());
  CHECK(host.plan(tmux + "\"grammar\"\n").waivers.empty());
  CHECK(host.plan(tmux + "\"grammar\"\n").excluded[0].sessions ==
        std::vector<std::string>{"swarm-*"});
}

TEST_CASE("working directories map to the host where it is the host's that is shown") {
  Host host;
  Plan plan = host.plan(kDocker);
  CHECK(map_to_host(plan, "/home/u/p") == "/home/u/p");
  CHECK(map_to_host(plan, "/home/u/p/sub/x") == "/home/u/p/sub/x");
  CHECK(map_to_host(plan, "/usr/bin") == "/usr/bin");
  for (const char* own : {"/tmp", "/tmp/x", "/", "/home/u", "/home", "/proc/1", "/etc", "/run",
                          "/home/u/p/../q", "home", "", "/home/u/pp"}) {
    CAPTURE(own);
    CHECK_FALSE(map_to_host(plan, own).has_value());
  }
}

TEST_CASE("what an execution comes to") {
  using Verdict = ExecAnswer::Verdict;
  Host host;
  host.files.program("/usr/bin/tmux");
  Plan plan = host.plan(kDocker + "[[excluded]]\ncommand = \"tmux\"\nmode = \"grammar\"\n");
  CHECK(ask(plan, {"ls"}).verdict == Verdict::inside);
  CHECK(ask(plan, {"docker", "ps", "-q"}).verdict == Verdict::host);
  CHECK(ask(plan, {"docker", "ps", "-q"}).decision.rule == "ps [-*]");
  CHECK(ask(plan, {"/usr/bin/docker", "ps"}).verdict == Verdict::host);
  CHECK(ask(plan, {"/opt/docker", "ps"}).verdict == Verdict::inside);
  const ExecAnswer refused = ask(plan, {"docker", "ps", "-a"});
  CHECK(refused.verdict == Verdict::refused);
  CHECK(refused.text.find("not all (rule \"ps --all\", t.toml:") != std::string::npos);
  CHECK(ask(plan, {"docker", "run", "x"}).verdict == Verdict::refused);
  CHECK(ask(plan, {"tmux", "ls"}).verdict == Verdict::host);
  CHECK(ask(plan, {"tmux", "run-shell", "id"}).verdict == Verdict::refused);
}

TEST_CASE("a ~/.swarm of the project alone") {
  Host host;
  const std::string text =
      "[filesystem]\nwrite = [\"${CWD}\", {path = \"~/.swarm\", create = true}]\nswarm_state = "
      "\"private\"\n";
  const std::string state =
      "/home/u/.local/state/dirbox/projects/" + project_key("/home/u/p") + "/swarm";
  Plan plan = host.compile(FakeHost::profile(text));
  CHECK(plan.missing_directories == std::vector<std::string>{state});
  host.files.directory(state);
  plan = host.compile(FakeHost::profile(text));
  CHECK(plan.missing_directories.empty());
  REQUIRE(mount_at(plan, "/home/u/.swarm") != nullptr);
  CHECK(mount_at(plan, "/home/u/.swarm")->source == state);
  CHECK(map_to_host(plan, "/home/u/.swarm/logs") == state + "/logs");
  // The engine would mount the host's own.
  host.files.directory("/home/u/.swarm");
  const std::string docker = "[[excluded]]\ncommand = \"docker\"\nmode = \"filter\"\n";
  auto binds = [&](const std::string& profile) {
    std::vector<std::string> paths;
    for (const auto& root : host.compile(FakeHost::profile(profile)).docker.binds)
      paths.push_back(root.path);
    return paths;
  };
  CHECK(binds(text + docker) == std::vector<std::string>{"/home/u/p"});
  CHECK(binds("filesystem.write = [\"${CWD}\", \"~/.swarm\"]\n" + docker) ==
        std::vector<std::string>{"/home/u/.swarm", "/home/u/p"});
  plan = host.compile(FakeHost::extended(FakeHost::profile(text),
                                         "[filesystem]\nprotect = [\"~/.swarm\"]\n", "u.toml"));
  CHECK(mount_at(plan, "/home/u/.swarm")->source == state);
  CHECK(shown(plan, "/home/u/.swarm") == "read");
  CHECK(project_key("/a/x") != project_key("/b/x"));
}

TEST_CASE("the directory of worktrees beside a project") {
  Host host;
  const std::string text = "[filesystem]\nwrite = [\"${CWD}\"]\nworktrees = true\n";
  const std::string parent = "/home/u/p-worktrees";
  auto access = [&] { return shown(host.compile(FakeHost::profile(text)), parent); };
  CHECK(access() == "");
  host.files.directory(parent);
  CHECK(access() == "write");
  host.files.directory(parent + "/w");
  CHECK(access() == "");  // something else of that name
  host.files.file(parent + "/w/.git", "gitdir: /home/u/p/.git/worktrees/w\n");
  host.files.file("/home/u/p/.git/worktrees/w/commondir", "../..\n");
  host.files.file("/home/u/p/.git/worktrees/w/gitdir", parent + "/w/.git\n");
  CHECK(access() == "write");
  host.files.directory(parent + "/v/.git");
  CHECK(access() == "");
}
