#include "launcher/plan/policy_file.h"

#include "launcher/plan/excluded.h"
#include "launcher/plan/explain.h"
#include "tests/unit/plan/fake_host.h"

using namespace dirbox;
using namespace dirbox::plan;

namespace {

std::string text_at(const Plan& plan, std::string_view path) {
  const auto* mount = mount_at(plan, std::string(path));
  REQUIRE(mount != nullptr);
  CHECK(mount->kind == sandbox::MountKind::file);
  CHECK(mount->mode == 0444);
  return mount->source;
}

Plan director(FakeHost& host) {
  profiles::Request request;
  request.system_dir = "";
  auto profile = profiles::load_profile(request);
  REQUIRE(profile.has_value());
  host.command.argv = {"true"};
  return host.compile(*profile);
}

}  // namespace

TEST_CASE("what is hidden is not named, and the rest reads back") {
  FakeHost host;
  for (const char* path : {"/home/u/.ssh/id_rsa", "/home/u/p/.env", "/usr/lib/secret/key",
                           "/home/u/.config/dirbox/mine.toml", "/usr/bin/tmux"})
    host.files.file(path, "", 0755);
  host.files.directory("/home/u/.swarm");
  Plan plan = director(host);
  const std::string json = text_at(plan, kPolicyFile), text = text_at(plan, kPolicyText);
  for (const PathRule& rule : plan.rules) {
    if (rule.access != PathAccess::hide) continue;
    // A path within what is granted may begin like a hidden one; whole it is nowhere.
    CHECK_MESSAGE(json.find("\"" + rule.path + "\"") == json.npos, rule.path);
    CHECK_MESSAGE(text.find(rule.path + ",") == text.npos, rule.path);
  }
  CHECK(json.find(".ssh") == json.npos);
  CHECK(text.find("/home/u/p") != text.npos);
  CHECK(text.find("5e5510") != text.npos);

  auto parsed = parse_policy(json);
  REQUIRE_MESSAGE(parsed.has_value(), (parsed ? "" : parsed.error().message()));
  const TreeView outside(plan), inside(*parsed);
  for (const char* path : {"/home/u/p/x", "/usr/bin/true", "/home/u/.swarm/a", "/tmp/a", "/srv/a",
                           "/home/u/p/.git/hooks", "/proc/sys/kernel", "/dev/null", "/"}) {
    CHECK_MESSAGE(inside.allows(path, Want::read) == outside.allows(path, Want::read), path);
    CHECK_MESSAGE(inside.allows(path, Want::write) == outside.allows(path, Want::write), path);
  }
  for (const char* target : {"api.anthropic.com", "github.com:443", "github.com:22", "x.test"}) {
    const auto a = explain_connect(plan, target), b = explain_connect(*parsed, target);
    REQUIRE((a.has_value() && b.has_value()));
    CHECK_MESSAGE((a->allowed == b->allowed && a->origin == b->origin), target);
  }
  for (const char* call : {"read", "ptrace", "ioctl", "clone3", "mount"}) {
    const auto a = explain_syscall(plan, {call}), b = explain_syscall(*parsed, {call});
    REQUIRE((a.has_value() && b.has_value()));
    CHECK_MESSAGE((a->allowed == b->allowed && a->origin == b->origin), call);
  }
  REQUIRE(parsed->excluded.size() == plan.excluded.size());
  const std::vector<std::string> argv{"tmux", "kill-server"};
  CHECK(explain_exec(*parsed, argv).verdict == explain_exec(plan, argv).verdict);
}

TEST_CASE("of a profile only the name of its file is told") {
  FakeHost host;
  auto profile = FakeHost::profile("[filesystem]\nread = [\"/usr\"]\nwrite = [\"${CWD}\"]\n");
  for (profiles::Entry& entry : profile.read) entry.origin.file = "/home/u/.config/dirbox/t.toml";
  Plan plan = host.compile(profile);
  const std::string json = text_at(plan, kPolicyFile);
  CHECK(json.find(".config") == json.npos);
  auto parsed = parse_policy(json);
  REQUIRE(parsed.has_value());
  CHECK(find_rule(*parsed, "/usr")->origin.text() == "t.toml:2:9");
}

TEST_CASE("names of any bytes are text") {
  FakeHost host;
  host.files.directory("/srv/a\"b\n\xff");
  Plan plan = host.compile(FakeHost::profile(
      "[filesystem]\nread = [\"/usr\", \"/srv\"]\nwrite = [\"${CWD}\"]\nhide = [\"/srv/x\"]\n"));
  CHECK(parse_policy(text_at(plan, kPolicyFile)).has_value());
  CHECK(text_at(plan, kPolicyText).find('\xff') == std::string::npos);
}

TEST_CASE("other texts are refused") {
  FakeHost host;
  const std::string json = text_at(director(host), kPolicyFile);
  for (const char* text : {"", "{}", "[]", "{\"version\":2}", "{\"version\":1}", "null"})
    CHECK_FALSE(parse_policy(text).has_value());
  // Cut anywhere, it is no policy.
  for (std::size_t i = 0; i + 2 < json.size(); i += 7)
    CHECK_FALSE(parse_policy(json.substr(0, i)).has_value());
  for (const auto& [from, to] :
       {std::pair("\"mounts\":[", "\"mounts\":[[\"/x\"],"),
        std::pair("\"mounts\":[", "\"mounts\":[[\"/x\",\"what\",\"o\"],"),
        std::pair("\"allow\":[", "\"allow\":[[1,2],"),
        std::pair("\"syscalls_allow\":[", "\"syscalls_allow\":[[\"?\",\"\"],"),
        std::pair("\"network\":\"proxy\"", "\"network\":\"all\"")}) {
    std::string changed = json;
    const std::size_t at = changed.find(from);
    REQUIRE(at != changed.npos);
    changed.replace(at, std::string(from).size(), to);
    CAPTURE(changed);
    CHECK_FALSE(parse_policy(changed).has_value());
  }
}
