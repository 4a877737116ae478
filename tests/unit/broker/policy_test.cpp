#include "launcher/broker/policy.h"

#include <doctest/doctest.h>

#include "launcher/base/file.h"
#include "launcher/broker/command_table.h"

using namespace dirbox;
using namespace dirbox::broker;

namespace {

using Words = std::vector<std::string>;

Rule rule(std::string_view command, RuleKind kind, std::string_view text) {
  auto parsed = parse_rule(command, kind, text, {"director.toml", 12, 1}, "because");
  INFO(std::string(text));
  REQUIRE(parsed);
  return *parsed;
}

Policy policy(const std::string& command, const Words& allow, const Words& deny = {}) {
  Policy out;
  out.command = command;
  for (const auto& text : allow) out.allow.push_back(rule(command, RuleKind::allow, text));
  for (const auto& text : deny) out.deny.push_back(rule(command, RuleKind::deny, text));
  return out;
}

bool allowed(const Policy& p, const Words& arguments) { return decide(p, arguments).allowed; }

}  // namespace

TEST_CASE("without rules everything is permitted, even what cannot be parsed") {
  CHECK(allowed(policy("docker", {}), {"--no-such-option"}));
}

TEST_CASE("with rules, what no rule permits is refused") {
  Policy p = policy("docker", {"ps [-*]", "logs [-f] [-n=*] <name>"});
  CHECK(allowed(p, {"ps"}));
  CHECK(allowed(p, {"ps", "-aq", "--filter", "name=x", "--format={{.ID}}"}));
  CHECK(allowed(p, {"container", "ls", "-a"}));
  CHECK(allowed(p, {"logs", "-fn5", "web"}));
  CHECK(allowed(p, {"logs", "web", "--tail", "5"}));
  CHECK_FALSE(allowed(p, {"logs"}));
  CHECK_FALSE(allowed(p, {"logs", "a", "b"}));
  CHECK_FALSE(allowed(p, {"logs", "--since", "1h", "web"}));
  CHECK_FALSE(allowed(p, {"exec", "web", "sh"}));
  CHECK_FALSE(allowed(p, {}));
  CHECK_FALSE(allowed(p, {"ps; id"}));
  CHECK_FALSE(allowed(p, {"ps\nid"}));
  CHECK_FALSE(allowed(p, {"ps", "; id"}));
}

TEST_CASE("options before the subcommand need their own permission") {
  Policy p = policy("docker", {"ps [-*]", "--version"});
  CHECK_FALSE(allowed(p, {"-H", "tcp://evil", "ps"}));
  CHECK_FALSE(allowed(p, {"--config", "/tmp/evil", "ps"}));
  CHECK_FALSE(allowed(p, {"--config=/tmp/evil", "ps"}));
  CHECK_FALSE(allowed(p, {"-c", "other", "ps"}));
  CHECK(allowed(p, {"--version"}));
  CHECK(allowed(p, {"-v"}));
  CHECK_FALSE(allowed(p, {"--version", "--debug"}));
  CHECK(allowed(policy("docker", {"[--context=lab] ps"}), {"-c", "lab", "ps"}));
  CHECK_FALSE(allowed(policy("docker", {"[--context=lab] ps"}), {"-c", "prod", "ps"}));
}

TEST_CASE("every way of writing an option is the same option") {
  Policy p = policy("docker", {"run [--rm] [-it] [-v=/work:/work] busybox ..."});
  CHECK(allowed(p, {"run", "--rm", "-it", "-v", "/work:/work", "busybox", "sh", "-c", "id"}));
  CHECK(allowed(p, {"run", "-itv", "/work:/work", "busybox"}));
  CHECK(allowed(p, {"run", "-itv/work:/work", "busybox"}));
  CHECK(allowed(p, {"run", "-itv=/work:/work", "busybox"}));
  CHECK(allowed(p, {"run", "--volume=/work:/work", "busybox"}));
  CHECK(allowed(p, {"run", "--rm=true", "busybox"}));
  for (const Words& words :
       {Words{"-v", "/:/x"}, Words{"-v/:/x"}, Words{"-v=/:/x"}, Words{"-itv/:/x"},
        Words{"-itv", "/:/x"}, Words{"--volume", "/:/x"}, Words{"--volume=/:/x"},
        Words{"-v", "/work:/work", "-v", "/:/x"}, Words{"--mount", "type=bind,src=/,dst=/x"},
        Words{"--privileged"}, Words{"--privileged=true"}, Words{"--privileged=1"},
        Words{"--volumes"}, Words{"--vol=/:/x"}, Words{"-tP"}, Words{"--cap-add=ALL"},
        Words{"--env-file", "/root/.aws/credentials"}, Words{"--"}, Words{"-"}}) {
    Words arguments{"run"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    if (words[0] != "--" && words[0] != "-") {
      arguments.push_back("busybox");
      CHECK_FALSE(allowed(p, arguments));
    } else {
      arguments.push_back("other");
      CHECK_FALSE(allowed(p, arguments));
    }
  }
}

TEST_CASE("what follows the image belongs to the container") {
  Policy p = policy("docker", {"run [--rm] busybox ..."}, {"run --privileged"});
  CHECK(allowed(p, {"run", "busybox", "--privileged"}));
  CHECK(allowed(p, {"run", "--", "busybox", "--privileged"}));
  CHECK_FALSE(allowed(p, {"run", "--privileged", "busybox"}));
}

TEST_CASE("options outside brackets are required") {
  Policy p = policy("docker", {"run --network=none [-*] busybox ..."});
  CHECK(allowed(p, {"run", "--network", "none", "-i", "busybox"}));
  CHECK_FALSE(allowed(p, {"run", "-i", "busybox"}));
  CHECK_FALSE(allowed(p, {"run", "--network=none", "--network=host", "busybox"}));
}

TEST_CASE("deny comes before allow and gives its reason") {
  Policy p = policy("docker", {"run [-*] ...", "exec [-*] ..."}, {"run -v=/etc*", "--privileged"});
  CHECK(allowed(p, {"run", "x"}));
  Decision d = decide(p, Words{"container", "run", "--volume=/etc/shadow:/x", "x"});
  CHECK_FALSE(d.allowed);
  CHECK(d.reason == "because");
  CHECK(explain_refusal(d) == "refused: because (rule \"run -v=/etc*\", director.toml:12:1)");
  CHECK_FALSE(allowed(p, {"run", "-v", "/usr/../etc/shadow:/x", "x"}));
  CHECK_FALSE(allowed(p, {"exec", "--privileged", "c", "sh"}));
}

TEST_CASE("patterns do not leave their directory") {
  CHECK(matches_pattern("/work/*", "/work/a", false));
  CHECK_FALSE(matches_pattern("/work/*", "/work/a/b", false));
  CHECK(matches_pattern("/work/**", "/work/a/b", false));
  CHECK_FALSE(matches_pattern("/work/**", "/work/../etc", false));
  CHECK_FALSE(matches_pattern("/work/**:/w", "/work/..:/w", false));
  CHECK_FALSE(matches_pattern("src=/work/**", "src=/work/x/..,dst=/w", false));
  for (const char* text : {"src=..,dst=/w", "x,src=..:/w", "src=..=,dst=/w", "src=,..,dst=/w"}) {
    CHECK_FALSE(matches_pattern("*,dst=/w", text, false));
    CHECK(matches_pattern("*/secret*", text, true));
  }
  CHECK(matches_pattern("/work/**", "/work/a..b", false));
  CHECK(matches_pattern("*", "../..", false));
  CHECK(matches_pattern("<name>", "", false));
  CHECK_FALSE(matches_pattern("/work/**", "/work/" + std::string(5000, 'a'), false));
  CHECK(matches_pattern("a*b*c", "axxbyyc", false));
  CHECK_FALSE(matches_pattern("a*b*c", "axxbyy", false));
  CHECK(matches_pattern("**/x*", "a/b/xyz", false));
  CHECK_FALSE(matches_pattern("", "a", false));
}

TEST_CASE("compose as a plugin and as a command") {
  CHECK(allowed(policy("docker", {"compose [-f=*] up [-d]"}),
                {"compose", "-f", "x.yml", "up", "-d"}));
  CHECK_FALSE(allowed(policy("docker", {"compose up [-d]"}), {"compose", "-f", "x.yml", "up"}));
  CHECK_FALSE(allowed(policy("docker", {"compose ps [-*]"}), {"-H", "x", "compose", "ps"}));
  CHECK(allowed(policy("docker-compose", {"ps [-*]"}), {"ps", "-q"}));
  CHECK_FALSE(allowed(policy("docker-compose", {"[-f=*] ps"}), {"-f=x", "ps"}));
  CHECK_FALSE(allowed(policy("docker", {"[-*] ..."}), {"buildx", "ls"}));
}

TEST_CASE("tmux: another command cannot hide in an argument") {
  Policy p = policy("tmux", {"ls", "send-keys -t=swarm:* [-l] ..."});
  CHECK(allowed(p, {"list-sessions"}));
  CHECK(allowed(p, {"send", "-t", "swarm:w1", "-l", "hello -x"}));
  CHECK_FALSE(allowed(p, {"send", "-t", "swarm:w1", "hello;"}));
  CHECK_FALSE(allowed(p, {"ls", ";", "run-shell", "id"}));
  CHECK_FALSE(allowed(p, {"ls;", "run-shell", "id"}));
  CHECK_FALSE(allowed(p, {"run-shell", "id"}));
  CHECK_FALSE(allowed(p, {"-f", "/tmp/x", "ls"}));
  CHECK_FALSE(allowed(p, {"-c", "id"}));
  CHECK_FALSE(allowed(p, {}));
}

TEST_CASE("git and gh") {
  Policy git = policy("git", {"push [-u] origin <branch>", "status [-*]"});
  CHECK(allowed(git, {"push", "-u", "origin", "main"}));
  CHECK_FALSE(allowed(git, {"push", "--receive-pack=id", "origin", "main"}));
  CHECK_FALSE(allowed(git, {"-c", "core.sshCommand=id", "push", "origin", "main"}));
  CHECK_FALSE(allowed(git, {"push", "--for", "origin", "main"}));
  CHECK(allowed(policy("gh", {"pr view [-*] *"}), {"pr", "view", "-R", "a/b", "7"}));
  CHECK_FALSE(allowed(policy("gh", {"pr view [-*] *"}), {"alias", "set"}));
}

TEST_CASE("a command without a table: words, and nothing that looks like an option by pattern") {
  Policy p = policy("make", {"test *", "--version", "build ..."});
  CHECK(allowed(p, {"--version"}));
  CHECK(allowed(p, {"test", "unit"}));
  CHECK(allowed(p, {"build", "a", "b"}));
  CHECK_FALSE(allowed(p, {"test", "-f"}));
  CHECK_FALSE(allowed(p, {"build", "a", "--eval=x"}));
  CHECK_FALSE(allowed(p, {"test"}));
}

TEST_CASE("what is judged has a bound") {
  Policy p = policy("docker", {"run [-*] ..."}, {"run -v=*/etc* -e=*secret*", "run --privileged"});
  CHECK(allowed(p, {"run", "-" + std::string(1024, 'i'), "x"}));
  Decision d = decide(p, Words{"run", "-" + std::string(1'000'000, 'i'), "x"});
  CHECK_FALSE(d.allowed);
  CHECK(d.reason.find("more options") != std::string::npos);
}

TEST_CASE("no option of a table has a name that nobody can write") {
  for (const char* command : {"docker", "docker-compose", "tmux", "git", "gh"}) {
    for (const SubcommandRow& row : find_command_table(command)->rows) {
      std::string_view flags = row.flags;
      for (std::size_t at = flags.find(' '); at != flags.npos; at = flags.find(' ', at + 1)) {
        INFO(command << " " << std::string(row.path) << ": " << std::string(flags.substr(0, at)));
        CHECK(flags[at - 1] == ',');
      }
    }
  }
  CHECK(allowed(policy("docker", {"run [--log-driver] x"}), {"run", "--log-driver=none", "x"}));
}

TEST_CASE("rules that mean nothing are errors") {
  auto bad = [](std::string_view command, RuleKind kind, std::string_view text) {
    return !parse_rule(command, kind, text, {});
  };
  CHECK(bad("docker", RuleKind::allow, ""));
  CHECK(bad("docker", RuleKind::allow, "rnu"));
  CHECK(bad("docker", RuleKind::allow, "run --priviledged"));
  CHECK(bad("docker", RuleKind::allow, "run --rm=yes"));
  CHECK(bad("docker", RuleKind::allow, "run ... x"));
  CHECK(bad("docker", RuleKind::allow, "run 'x"));
  CHECK(bad("docker", RuleKind::allow, "run [x]"));
  CHECK(bad("docker", RuleKind::allow, "--debug ..."));
  CHECK(bad("docker", RuleKind::allow, "[-*] ps"));
  CHECK(bad("docker", RuleKind::allow, "compose"));
  CHECK(bad("docker", RuleKind::allow, "network"));
  CHECK(bad("docker", RuleKind::deny, "run [--rm]"));
  CHECK(bad("docker", RuleKind::deny, "-v"));
  CHECK(bad("docker", RuleKind::deny, "--no-such"));
  CHECK(bad("make", RuleKind::deny, "x"));
  CHECK(bad("make", RuleKind::allow, "[-x]"));
  auto error = parse_rule("docker", RuleKind::allow, "pss", {});
  CHECK(error.error().detail.find("did you mean \"ps\"") != std::string::npos);
}

TEST_CASE("the examples of the manual are rules and mean what it says") {
  auto page = read_file(DIRBOX_SOURCE_DIR "/man/dirbox-broker.5");
  REQUIRE(page);
  std::string_view text(*page);
  text.remove_prefix(text.find(".Sh EXAMPLES"));
  text.remove_prefix(text.find("indent\n") + 7);
  text = text.substr(0, text.find(".Ed"));
  Words rules;
  while (!text.empty()) {
    rules.emplace_back(text.substr(0, text.find('\n')));
    text.remove_prefix(rules.back().size() + 1);
  }
  CHECK(rules.size() == 5);
  Policy p = policy("docker", rules);
  CHECK(allowed(p, {"run", "-it", "--rm", "--network", "none", "busybox:1", "sh"}));
  CHECK_FALSE(allowed(p, {"run", "-it", "--network", "none", "busybox:1", "sh"}));
  CHECK_FALSE(allowed(p, {"run", "--rm", "--network=none", "-v", "/:/x", "busybox:1"}));
  CHECK_FALSE(allowed(p, {"run", "--rm", "--network=none", "--privileged", "busybox:1"}));
  CHECK(allowed(p, {"--context", "lab", "stats", "--no-stream", "a", "b"}));
}
