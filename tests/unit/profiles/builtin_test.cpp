#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "profiles/decode.h"
#include "profiles/load.h"

using namespace dirbox;
using namespace dirbox::profiles;

namespace {

Profile load_builtin(std::string_view name) {
  Request request;
  request.name = name;
  request.system_dir = "";
  auto profile = load_profile(request);
  REQUIRE_MESSAGE(profile.has_value(), (profile ? "" : profile.error().message()));
  return *profile;
}

bool has(const std::vector<Entry>& list, std::string_view text) {
  return std::any_of(list.begin(), list.end(), [&](const Entry& e) { return e.text == text; });
}

}  // namespace

TEST_CASE("every built-in profile loads and says what it is") {
  std::set<std::string_view> names;
  for (const EmbeddedFile& file : embedded_files()) {
    CAPTURE(file.name);
    names.insert(file.name);
    Profile profile = load_builtin(file.name);
    CHECK(profile.name == file.name);
    CHECK_FALSE(profile.description.value.empty());
    CHECK(profile.chain.front() == "base.toml");
    CHECK(profile.chain.back() == std::string(file.name) + ".toml");
    CHECK(profile.home.value == HomeMode::private_home);
    CHECK(has(profile.hide, "~/.ssh"));
  }
  CHECK(names == std::set<std::string_view>{"agent", "base", "build", "claude", "codex", "debug",
                                            "director", "director-guide", "director-strict",
                                            "offline", "worker"});
}

TEST_CASE("no built-in profile grants what the list of secrets names, or a directory above it") {
  for (const EmbeddedFile& file : embedded_files()) {
    Profile profile = load_builtin(file.name);
    for (const Entry& hidden : profile.hide) {
      CAPTURE(hidden.text);
      CHECK_FALSE(check_path(hidden.text).has_value());
      CHECK_FALSE(has(profile.read, hidden.text));
      CHECK_FALSE(has(profile.write, hidden.text));
      // Below "~" and directories of the system, so that a typo such as "~.ssh" cannot hide
      // nothing.
      CHECK((hidden.text.starts_with("~/") || hidden.text.starts_with("/etc/") ||
             hidden.text.starts_with("/var/") || hidden.text.starts_with("/run/") ||
             hidden.text == "/boot"));
    }
  }
}

TEST_CASE("what each built-in profile opens") {
  CHECK(load_builtin("base").write.empty());
  Profile director = load_builtin("director");
  CHECK(has(director.write, "${CWD}"));
  auto swarm = std::find_if(director.write.begin(), director.write.end(),
                            [](const Entry& e) { return e.text == "~/.swarm"; });
  REQUIRE(swarm != director.write.end());
  CHECK(swarm->create);
  CHECK(director.network_mode.value == NetworkMode::proxy);
  CHECK(has(director.net_allow, "@anthropic"));
  CHECK(load_builtin("director-strict").swarm_state.value == SwarmState::own);
  CHECK(load_builtin("director-strict").guard.value == GuardMode::enforce);
  CHECK(load_builtin("director").guard.value == GuardMode::quarantine);
  CHECK(load_builtin("worker").write.size() == 1);
  CHECK(load_builtin("offline").network_mode.origin.file == "offline.toml");
  CHECK(has(load_builtin("build").syscalls_allow, "@ptrace"));
  CHECK_FALSE(load_builtin("build").nested_userns.value);
  CHECK(load_builtin("debug").nested_userns.value);
}

TEST_CASE("the environment that every built-in profile passes") {
  std::vector<std::string> names;
  for (const Entry& entry : load_builtin("worker").env_pass) names.push_back(entry.text);
  CHECK(names == std::vector<std::string>{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM",
                                          "COLORTERM", "LANG", "LC_*", "TZ"});
}

TEST_CASE("agents get the keys of what they can reach, and no more of what they keep") {
  for (const char* name : {"claude", "director"}) {
    CAPTURE(name);
    Profile profile = load_builtin(name);
    CHECK(has(profile.env_pass, "ANTHROPIC_API_KEY"));
    for (const char* secret :
         {"OPENAI_API_KEY", "ANTHROPIC_*", "CLAUDE_CODE_*", "ANTHROPIC_ADMIN_KEY"})
      CHECK_FALSE(has(profile.env_pass, secret));
    CHECK(has(profile.write, "${CLAUDE_PROJECT}"));
    for (const char* wide : {"~/.claude", "~/.claude/projects", "~/.claude/shell-snapshots"}) {
      CHECK_FALSE(has(profile.write, wide));
      CHECK_FALSE(has(profile.read, wide));
    }
    for (const char* run : {"~/.claude/settings.json", "~/.claude/hooks", "~/.claude/plugins"})
      CHECK(has(profile.read, run));
  }
  CHECK_FALSE(has(load_builtin("claude").write, "~/.swarm"));
  CHECK(has(load_builtin("codex").hide, "~/.claude/.credentials.json"));
  CHECK_FALSE(has(load_builtin("codex").env_pass, "ANTHROPIC_API_KEY"));
  CHECK(load_builtin("agent").write.size() == 1);
}
