#include "launcher/sync/keys.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace dirbox;
using namespace dirbox::sync;

namespace {

const std::vector<std::string> kPlaces{"/home/u/project"};

Json parsed(std::string_view text) { return Json::parse(text).value(); }

std::string taken(std::string_view base, std::string_view ours) {
  return take_allowed(*find_key_table(".claude.json"), parsed(base), parsed(ours), kPlaces).dump();
}
std::string dangers(std::string_view base, std::string_view ours) {
  std::string out;
  for (const Danger& danger :
       find_dangers(*find_key_table(".claude.json"), parsed(base), parsed(ours), kPlaces))
    out += danger.key + "=" + danger.value + ";";
  return out;
}

}  // namespace

TEST_CASE("files with a table") {
  CHECK(find_key_table(".claude.json") != nullptr);
  CHECK(find_key_table("claude.json") == nullptr);
  CHECK(find_key_table("state.json") == nullptr);
}

TEST_CASE("what Claude Code counts and who is logged in comes back") {
  CHECK(taken("{}", R"({"numStartups":3,"theme":"dark","hasCompletedOnboarding":true})") ==
        R"({"numStartups":3,"theme":"dark","hasCompletedOnboarding":true})");
  CHECK(taken(R"({"numStartups":1,"x":2})", R"({"numStartups":2,"x":2})") ==
        R"({"numStartups":2,"x":2})");
  CHECK(taken("{}", R"({"oauthAccount":{"emailAddress":"u@example.com","seats":[1,2]}})") ==
        R"({"oauthAccount":{"emailAddress":"u@example.com","seats":[1,2]}})");
  CHECK(taken("{}", R"({"customApiKeyResponses":{"approved":["abc"],"rejected":[]}})") ==
        R"({"customApiKeyResponses":{"approved":["abc"],"rejected":[]}})");
  CHECK(taken(R"({"oauthAccount":{}})", "{}") == "{}");  // logged out
}

TEST_CASE("what the host would execute stays") {
  for (const char* ours : {
           R"({"mcpServers":{"x":{"command":"/evil"}}})",
           R"({"env":{"NODE_OPTIONS":"--require=/evil"}})",
           R"({"apiKeyHelper":"/evil"})",
           R"({"hooks":{"Stop":[]}})",
           R"({"projects":{"/home/u/project":{"mcpServers":{"x":{"command":"/evil"}}}}})",
           R"({"projects":{"/home/u/project":{"allowedTools":["Bash"]}}})",
           R"({"projects":{"/home/u/project":{"hasTrustDialogAccepted":true}}})",
           R"({"projects":{"/home/u/other":{"hasTrustDialogAccepted":true}}})",
           R"({"bypassPermissionsModeAccepted":true})",
           R"({"cachedGrowthBookFeatures":{"x":true}})",
           R"({"whatever":1})",
           R"({"__proto__":{"numStartups":1}})",
           R"({"MCPSERVERS":{}})",
       }) {
    CAPTURE(ours);
    CHECK(taken("{}", ours) == "{}");
  }
  CHECK(taken(R"({"mcpServers":{"mine":{}},"theme":"dark"})", R"({"theme":"light"})") ==
        R"({"mcpServers":{"mine":{}},"theme":"light"})");
}

TEST_CASE("beneath the project a bounded number of members is made") {
  auto projects = [](int from, int to) {
    std::string out;
    for (int i = from; i < to; ++i) {
      out +=
          fmt::format("{}\"/home/u/project/{}\":{{\"lastCost\":{}}}", i == from ? "" : ",", i, i);
    }
    return out;
  };
  auto state = [](const std::string& members) { return "{\"projects\":{" + members + "}}"; };
  const std::string own = R"("/home/u/project":{"lastCost":1})";
  CHECK(taken("{}", state(projects(0, 16) + "," + own)) == state(projects(0, 16) + "," + own));
  CHECK(taken("{}", state(projects(0, 500) + "," + own)) == state(projects(0, 16) + "," + own));
  // nor by one merge after the other
  CHECK(taken(state(projects(0, 16)), state(projects(0, 17) + "," + own)) ==
        state(projects(0, 16) + "," + own));
  // What the host has stays, and can change.
  const std::string other = R"("/home/u/project/0":{"lastCost":7},)";
  CHECK(taken(state(projects(0, 40)), state(other + projects(1, 41))) ==
        state(other + projects(1, 40)));
  // What does not come back anyway does not count.
  CHECK(taken("{}", state(R"("/home/u/project/a":{"mcpServers":{}},)" + projects(0, 16))) ==
        state(projects(0, 16)));
}

TEST_CASE("of the projects only that of the sandbox") {
  CHECK(taken("{}", R"({"projects":{"/home/u/project":{"lastCost":0.5,"lastSessionId":"a-b"}}})") ==
        R"({"projects":{"/home/u/project":{"lastCost":0.5,"lastSessionId":"a-b"}}})");
  CHECK(taken("{}", R"({"projects":{"/home/u/project/sub":{"lastCost":1}}})") ==
        R"({"projects":{"/home/u/project/sub":{"lastCost":1}}})");
  for (const char* project :
       {"/home/u/projects", "/home/u", "/home/u/project/../other", "project", "/home/u/project//x",
        "__proto__", "/home/u/project/a\\u001b[2J", "/home/u/project/a\\nb"}) {
    CAPTURE(project);
    const std::string ours =
        R"({"projects":{")" + std::string(project) + R"(":{"lastSessionId":"x"}}})";
    CHECK(taken("{}", ours) == "{}");
  }
  CHECK(taken(R"({"projects":{"/home/u/other":{"lastCost":1}}})", R"({"projects":{}})") ==
        R"({"projects":{"/home/u/other":{"lastCost":1}}})");
  CHECK(taken(R"({"projects":{"/home/u/other":{"lastCost":1}}})", R"({"projects":[]})") ==
        R"({"projects":{"/home/u/other":{"lastCost":1}}})");
}

TEST_CASE("a value of another form stays") {
  CHECK(taken("{}", R"({"numStartups":{"x":1}})") == "{}");
  CHECK(taken("{}", R"({"theme":"a\u001b[2Jb"})") == "{}");
  CHECK(taken("{}", R"({"theme":"a\u009b2Jb"})") == "{}");
  for (const char* text : {"x\\u202eevil", "x\\u2066evil", "x\\u200bevil"})
    CHECK(taken("{}", fmt::format(R"({{"oauthAccount":{{"emailAddress":"{}"}}}})", text))
              .find("evil") == std::string::npos);
  CHECK(taken("{}", R"({"oauthAccount":{"emailAddress":"\u00e9vil@x"}})").find("vil@x") !=
        std::string::npos);
  CHECK(taken("{}", R"({"theme":"custom:../../project/theme"})") == "{}");
  CHECK(taken("{}", R"({"preferredNotifChannel":"$(evil) "})") == "{}");
  CHECK(taken("{}", R"({"primaryApiKey":"sk-ant-api03-a_B-c","theme":"dark"})") ==
        R"({"primaryApiKey":"sk-ant-api03-a_B-c","theme":"dark"})");
  CHECK(taken("{}", R"({"projects":{"/home/u/project":{"lastCommand":"x"}}})") == "{}");
  CHECK(taken("{}", R"({"customApiKeyResponses":{"approved":[{}]}})") == "{}");
  CHECK(taken("{}", R"({"customApiKeyResponses":{"approved":"x"}})") == "{}");
  CHECK(taken("{}", R"({"oauthAccount":{"a":{"b":{"c":{"d":{"e":1}}}}}})") == "{}");
  CHECK(taken("{}", R"({"tipsHistory":{"__proto__":1}})") == "{}");
  CHECK(taken("{}", "{\"theme\":\"" + std::string(2000, 'x') + "\"}") == "{}");
  CHECK(taken("{}", "[]") == "{}");
  CHECK(taken(R"({"theme":"dark"})", R"({"theme":["x"]})") == R"({"theme":"dark"})");
}

TEST_CASE("a value that fills the host's file stays") {
  auto tips = [](int count) {
    std::string out;
    for (int i = 0; i < count; ++i)
      out += fmt::format("{}\"{}\":\"{}\"", i == 0 ? "" : ",", i, std::string(1000, 'x'));
    return "{\"tipsHistory\":{" + out + "}}";
  };
  CHECK(taken("{}", tips(60)) == tips(60));
  CHECK(taken("{}", tips(70)) == "{}");
  CHECK(taken(tips(1), tips(70)) == tips(1));
  CHECK(taken(tips(70), tips(70)) == tips(70));  // the host's own
}

TEST_CASE("what was planted is reported") {
  CHECK(dangers("{}", R"({"mcpServers":{},"env":{},"numStartups":1})") == "");
  CHECK(dangers("{}", R"({"mcpServers":{"x":1}})") == R"(mcpServers={"x":1};)");
  CHECK(dangers(R"({"mcpServers":{"x":1}})", R"({"mcpServers":{"x":1}})") == "");
  CHECK(dangers("{}", R"({"projects":{"/a":{"allowedTools":["Bash"]}}})") ==
        R"(projects./a.allowedTools=["Bash"];)");
  CHECK(dangers("{}", R"({"projects":{"/a":{"hasTrustDialogAccepted":true}}})") ==
        "projects./a.hasTrustDialogAccepted=true;");
  CHECK(dangers("{}", R"({"projects":{"/home/u/project":{"hasTrustDialogAccepted":true}}})") == "");
  CHECK(dangers("{}", R"({"env":{"X":")" + std::string(400, 'x') + "\"}}").size() < 300);
  const std::string name = "/" + std::string(4000, 'x');
  CHECK(dangers("{}", R"({"projects":{")" + name + R"(":{"env":1,"allowedTools":[1]}}})").size() <
        600);
  std::string many = R"({"projects":{)";
  for (int i = 0; i < 1000; ++i)
    many += (i ? ",\"/" : "\"/") + std::to_string(i) + R"(":{"allowedTools":["x"]})";
  CHECK(find_dangers(*find_key_table(".claude.json"), parsed("{}"), parsed(many + "}}"), kPlaces)
            .size() == kMaxDangers);
}
