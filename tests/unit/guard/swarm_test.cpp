#include "launcher/guard/swarm.h"

#include <doctest/doctest.h>

using namespace dirbox::guard;

namespace {

std::vector<Finding> judge(What what, const std::string& before, const std::string& now) {
  Entry entry;
  entry.status.st_mode = S_IFREG | 0644;
  entry.status.st_size = static_cast<off_t>(now.size());
  entry.text = now;
  return judge_swarm({"*", what, "why"}, {true, before, S_IFREG | 0644}, entry,
                     [](What, const std::string& path) { return path.starts_with("/tree/"); });
}

}  // namespace

TEST_CASE("panes beyond swarm's own sessions are told, but for those that were there") {
  const std::string own = R"({"workers":[{"name":"w","tmux":{"session":"swarm-1","window":"w"}}]})";
  const std::string user = R"({"workers":[{"name":"d","tmux":{"session":"main","window":"0"}},
                                          {"name":"w","tmux":{"session":"swarm-1"}},{}]})";
  CHECK(judge(What::swarm_workers, "", own).empty());
  CHECK(judge(What::swarm_workers, user, user + " ").empty());
  auto found = judge(What::swarm_workers, own, user);
  REQUIRE(found.size() == 1);
  CHECK(found[0].key == "tmux of d");
  CHECK(found[0].after == "main:0");
  for (const char* odd : {"", "[", "[]", "{} {}", R"({"workers":1,"workers":2})"}) {
    INFO(odd);
    CHECK(judge(What::swarm_workers, own, odd).size() == 1);
  }
  CHECK(judge(What::swarm_workers, "not JSON", user).size() == 1);
  CHECK(judge(What::swarm_workers, "", R"({"workers":[1,{"tmux":2},{"tmux":{"session":3}}]})")
            .empty());
}

TEST_CASE("heartbeats and prompts of swarm") {
  auto beat = judge(What::swarm_heartbeat, R"({"message":"a"})", R"({"message":"b"})");
  REQUIRE(beat.size() == 1);
  CHECK(beat[0].before == "a");
  CHECK(beat[0].after == "b");
  CHECK(judge(What::swarm_heartbeat, "", R"({"message":"","last_beat":1})").empty());
  CHECK(judge(What::swarm_loop, "", R"({"prompt_file":"/tree/PROMPT.md"})").empty());
  CHECK(judge(What::swarm_loop, "", R"({"prompt_file":"/home/u/.ssh/id_rsa"})").size() == 1);
  CHECK(judge(What::swarm_loop, "", R"({"iteration":2})").empty());
  CHECK(judge(What::swarm_code, "", "print(1)").size() == 1);
}
