#include "profiles/narrow.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>

#include "profiles/decode.h"
#include "profiles/schema.h"
#include "profiles/toml_reader.h"

using namespace dirbox::profiles;

namespace {

Effect judged(const Profile& before, const Profile& after) {
  const auto all = judge_changes(before, after);
  REQUIRE(!all.empty());
  return all.front().effect;
}
Entry entry(const char* text) {
  Entry out;
  out.text = text;
  return out;
}

/// `base` with what a file says.
Profile with(Profile base, const std::string& text, const char* file) {
  auto tree = parse_toml(text, file);
  REQUIRE_MESSAGE(tree.has_value(), text);
  auto layer = decode_layer(*tree, file);
  REQUIRE_MESSAGE(layer.has_value(), (layer ? "" : layer.error().message()));
  auto merged = merge_layer(base, std::move(*layer));
  REQUIRE_MESSAGE(merged.has_value(), (merged ? "" : merged.error().message()));
  return base;
}

/// What a project's file with `change` does to a profile of `key = base`: "widens" where one of its
/// changes does.
const char* effect_of(const Row& row, const std::string& base, const std::string& change) {
  const std::string header =
      row.section.empty() ? std::string() : "[" + std::string(row.section) + "]\n";
  auto line = [&](const std::string& value) {
    return value.empty() ? value : header + std::string(row.key) + " = " + value + "\n";
  };
  const Profile before = with(default_profile(), line(base), "profile.toml");
  const auto all = judge_changes(before, with(before, line(change), "project.toml"));
  auto any = [&](Effect effect) {
    return std::any_of(all.begin(), all.end(), [&](const Judged& j) { return j.effect == effect; });
  };
  if (any(Effect::widens)) return "widens";
  if (any(Effect::by_path)) return "by path";
  return any(Effect::narrows) ? "narrows" : "nothing";
}

struct KeyRow {
  const char* key;
  const char* base;      ///< what the profile says, "": the default
  const char* wider;     ///< what a project's file may say with the user's trust only
  const char* narrower;  ///< what it may say without; "": nothing is known to narrow
};

constexpr KeyRow kKeys[] = {
    {"filesystem.home", "\"masked\"", "\"host\"", "\"private\""},
    {"filesystem.copy", "[\"~/a\"]", "[\"~/b\"]", "[\"-~/a\"]"},
    {"filesystem.sync", "[\"~/a\"]", "[\"~/b\"]", "[\"-~/a\"]"},
    {"filesystem.sockets", "[\"/a\"]", "[\"/b\"]", "[\"-/a\"]"},
    {"filesystem.devices", "[\"/dev/a\"]", "[\"/dev/b\"]", "[\"-/dev/a\"]"},
    {"filesystem.swarm_state", "\"private\"", "\"shared\"", ""},
    {"filesystem.swarm_state", "", "", "\"private\""},
    {"filesystem.worktrees", "", "true", ""},
    {"filesystem.worktrees", "true", "", "false"},
    {"filesystem.guard", "\"report\"", "\"off\"", "\"enforce\""},
    {"filesystem.tmp_size", "", "\"2G\"", "\"1M\""},
    {"filesystem.shm_size", "", "\"2G\"", "\"1M\""},
    {"filesystem.run_size", "", "\"2G\"", "\"1M\""},
    {"filesystem.home_size", "", "\"2G\"", "\"1M\""},
    {"environment.pass", "[\"BB_*\"]", "[\"B*\"]", "[\"BB_X\"]"},
    {"environment.pass", "[\"BB_*\"]", "[\"BB\"]", "[\"BB_X*\", \"-BB_*\"]"},
    {"environment.pass", "[\"BB_X\"]", "[\"BB_*\"]", "[\"-BB_X\"]"},
    {"environment.set", "{A = \"1\"}", "{A = \"2\"}", ""},
    {"network.mode", "\"proxy\"", "\"host\"", "\"none\""},
    {"network.allow", "[\"a.test\"]", "[\"*.a.test\"]", "[\"a.test:443\"]"},
    {"network.allow", "[\"a.test\"]", "[\"a.test:8080\"]", "[\"-a.test\"]"},
    {"network.allow", "[\"*.a.test\"]", "[\"a.test\"]", "[\"*.b.a.test:443\", \"b.a.test\"]"},
    {"network.allow", "[\"10.0.0.0/8\"]", "[\"10.0.0.0/7\"]", "[\"10.1.0.0/16:80\"]"},
    {"network.allow", "[\"*.a.test\"]", "[\"10.0.0.1\"]", "[\"-*.a.test\"]"},
    {"network.deny", "[\"a.test\"]", "[\"-a.test\"]", "[\"b.test\"]"},
    {"network.upgrade", "[\"a.test:80\"]", "[\"b.test:80\"]", "[\"-a.test:80\"]"},
    {"network.tls", "\"allow-no-sni\"", "\"off\"", "\"require\""},
    {"network.tls_ports", "[\"8443\"]", "[\"-8443\"]", "[\"9443\"]"},
    {"network.allow_ech", "true", "", "false"},
    {"network.allow_ech", "", "true", ""},
    {"network.allow_non_tls", "true", "", "false"},
    {"network.allow_non_tls", "", "true", ""},
    {"network.proxy_port", "", "0", ""},           // less is told of a refusal
    {"network.proxy_variables", "", "false", ""},  // so here
    {"network.host_ports", "[\"5432\"]", "[\"5433\"]", "[\"-5432\"]"},
    {"network.publish", "[\"3000\"]", "[\"3001\"]", "[\"-3000\"]"},
    {"network.limits", "[{name = \"*.a.test\", max_upload = \"1M\"}]",
     "[{name = \"b.a.test\", max_upload = \"1K\"}]",  // a budget of its own
     "[{name = \"a.test\", max_upload = \"1M\"}, {name = \"*.test\", rate = \"1K\"}]"},
    {"seccomp.allow", "[\"@ptrace\"]", "[\"@bpf\"]", "[\"-@ptrace\"]"},
    {"seccomp.deny", "[\"@ptrace\"]", "[\"-@ptrace\"]", "[\"@bpf\"]"},
    {"seccomp.rules", "", "[{syscall = \"socket\", action = \"errno:EPERM\"}]", ""},
    {"process.nested_userns", "true", "", "false"},
    {"process.nested_userns", "", "true", ""},
    {"limits.nofile", "64", "128", "32"},
    {"limits.nproc", "64", "128", "32"},
    {"limits.fsize", "\"64M\"", "\"128M\"", "\"32M\""},
    {"limits.as", "\"64M\"", "\"128M\"", "\"32M\""},
    {"docker.sockets", "[\"/a\"]", "[\"-/a\"]", ""},
    {"docker.sockets", "", "[\"/b\"]", ""},
    {"docker.binds", "[\"/a\", \"/b\"]", "[\"/c\"]", "[\"-/b\"]"},
    {"docker.networks", "[\"a\", \"b\"]", "[\"c\"]", "[\"-a\"]"},
    {"docker.images", "[\"a:*\", \"b\"]", "[\"*\"]", "[\"-b\"]"},
    {"docker.capabilities", "[\"CHOWN\", \"SETUID\"]", "[\"SETGID\"]", "[\"-SETUID\"]"},
    {"docker.memory", "", "\"5G\"", "\"1G\""},
    {"docker.cpus", "\"10\"", "\"11\"", "\"9.5\""},
    {"docker.pids", "", "1000", "9"},
    {"docker.shm_size", "", "\"1G\"", "\"1M\""},
    {"docker.max_containers", "", "10", "1"},
    {"log.observe", "", "\"none\"", "\"reads\""},
    {"require.landlock", "\"optional\"", "", "\"required\""},
    {"require.landlock", "", "\"optional\"", ""},
    {"excluded", "[{command = \"docker\", mode = \"filter\"}]",
     "[{command = \"docker\", mode = \"host\"}]", "[{command = \"docker\", mode = \"inside\"}]"},
    {"excluded", "[{command = \"tmux\", mode = \"grammar\"}]",
     "[{command = \"gh\", mode = \"host\"}]",
     "[{command = \"tmux\", mode = \"inside\"}, {command = \"gh\", mode = \"inside\"}]"},
    {"excluded",
     "[{command = \"tmux\", mode = \"grammar\", profile = \"a\", sessions = [\"a\", \"b\"]}]",
     "[{command = \"tmux\", mode = \"grammar\", profile = \"a\"}]",
     "[{command = \"tmux\", mode = \"grammar\", profile = \"a\", sessions = [\"a\"]}]"},
    {"excluded", "[{command = \"tmux\", mode = \"grammar\", profile = \"a\"}]",
     "[{command = \"tmux\", mode = \"grammar\"}]", ""},
    {"excluded", "[{command = \"x\", mode = \"host\", allow = [\"a\", \"b\"]}]",
     "[{command = \"x\", mode = \"host\"}]",
     "[{command = \"x\", mode = \"host\", allow = [\"a\"]}]"},
    {"excluded", "[{command = \"x\", mode = \"host\", allow = [\"a\"], timeout = 9}]",
     "[{command = \"x\", mode = \"host\", allow = [\"a\"]}]",
     "[{command = \"x\", mode = \"host\", allow = [\"a\"], timeout = 8, max_concurrent = 1}]"},
    {"excluded", "[{command = \"x\", mode = \"host\", allow = [\"a\"], env = [\"A\"]}]",
     "[{command = \"x\", mode = \"host\", allow = [\"a\"], env = [\"B\"]}]",
     "[{command = \"x\", mode = \"host\", allow = [\"a\"]}]"},
    {"excluded", "[{command = \"x\", mode = \"host\"}]", "[{command = \"y\", mode = \"host\"}]",
     "[{command = \"x\", mode = \"host\", allow = [\"a\"]}]"},
    {"excluded",
     "[{command = \"docker\", mode = \"host\", allow = [\"ps [-*]\"], deny = [{rule = \"ps "
     "--all\"}]}]",
     "[{command = \"docker\", mode = \"host\", allow = [\"ps [-*]\"]}]",
     "[{command = \"docker\", mode = \"host\", allow = [\"ps [-*]\"], deny = [{rule = \"ps "
     "--all\"}, "
     "{rule = \"ps --size\"}]}]"},
};

/// Those that decide about nothing, and those that only the plans tell about.
constexpr KeyRow kOthers[] = {
    {"description", "", "", "\"x\""},
    {"process.hostname", "", "", "\"x\""},
    {"verify", "", "", "[{run = \"x\", expect = \"ok\"}]"},
    {"filesystem.read", "", "", "[\"/x\"]"},
    {"filesystem.write", "", "", "[\"/x\"]"},
    {"filesystem.hide", "", "", "[\"/x\"]"},
    {"filesystem.protect", "", "", "[\"/x\"]"},
};

}  // namespace

TEST_CASE("every key: what widens needs trust, what narrows does not") {
  for (const Row& row : schema()) {
    const std::string name = row.full_name();
    const bool column = !row.section.empty() && !is_section(row.section);
    if (name == "extends" || column) continue;
    CAPTURE(name);
    bool wider = false, other = false;
    for (const KeyRow& key : kKeys) {
      if (key.key != name) continue;
      CAPTURE(std::string(key.base));
      if (*key.wider != '\0') CHECK(effect_of(row, key.base, key.wider) == std::string("widens"));
      if (*key.narrower != '\0')
        CHECK(effect_of(row, key.base, key.narrower) == std::string("narrows"));
      wider |= *key.wider != '\0';
    }
    for (const KeyRow& key : kOthers) {
      if (key.key != name) continue;
      CHECK(effect_of(row, "", key.narrower) ==
            std::string(row.kind == Kind::paths ? "by path" : "nothing"));
      other = true;
    }
    CHECK((wider || other));
  }
}

TEST_CASE("without the filter the variable that names an engine is what the profile says") {
  const char* filter = "[[excluded]]\ncommand = \"docker\"\nmode = \"filter\"\n";
  const char* inside = "[[excluded]]\ncommand = \"docker\"\nmode = \"inside\"\n";
  for (const char* more : {"", "[environment]\npass = [\"DOCKER_*\"]\n",
                           "[environment]\nset = {DOCKER_HOST = \"tcp://x\"}\n"}) {
    CAPTURE(more);
    const Profile before = with(default_profile(), std::string(more) + filter, "profile.toml");
    CHECK(judged(before, with(before, inside, "project.toml")) ==
          (*more == '\0' ? Effect::narrows : Effect::widens));
  }
}

TEST_CASE("a list that grants, and one that refuses") {
  Profile less = default_profile(), more = default_profile();
  more.net_allow.push_back(entry("a.test"));
  CHECK(judged(less, more) == Effect::widens);
  CHECK(judged(more, less) == Effect::narrows);
  more.net_allow.clear();
  more.net_deny.push_back(entry("a.test"));
  CHECK(judged(less, more) == Effect::narrows);
  CHECK(judged(more, less) == Effect::widens);
}

TEST_CASE("what is hidden or protected no more widens, whatever the profile alone grants there") {
  Profile less = default_profile(), more = default_profile();
  more.hide.push_back(entry("~/.ssh"));
  CHECK(judged(less, more) == Effect::by_path);
  CHECK(judged(more, less) == Effect::widens);
  more.hide.clear();
  more.protect.push_back(entry("~/x"));
  CHECK(judged(less, more) == Effect::by_path);
  CHECK(judged(more, less) == Effect::widens);
}

TEST_CASE("the guard is stricter the later its word") {
  Profile off = default_profile(), on = default_profile();
  off.guard.value = GuardMode::off;
  on.guard.value = GuardMode::quarantine;
  CHECK(judged(on, off) == Effect::widens);
  CHECK(judged(off, on) == Effect::narrows);
}

TEST_CASE("what the table does not name widens, both ways") {
  Profile before = default_profile(), after = default_profile();
  after.env_set.push_back({"PATH", "/x", {}});
  CHECK(judged(before, after) == Effect::widens);
  CHECK(judged(after, before) == Effect::widens);
  after = default_profile();
  after.net_proxy_port.value = 0;
  CHECK(judged(before, after) == Effect::widens);
  CHECK(judge_changes(before, before).empty());
}
