#include "profiles/import_claude.h"

#include <doctest/doctest.h>

#include "profiles/decode.h"
#include "profiles/toml_reader.h"

using namespace dirbox;

namespace {

std::string imported(const std::string& json, const std::string& base = "${PROJECT}") {
  auto settings = Json::parse(json);
  REQUIRE_MESSAGE(settings.has_value(), (settings ? "" : settings.error().message()));
  auto refuse = [](const std::string& list, const std::string& path) {
    return list == "filesystem.write" && path == "/tmp" ? "it is private inside" : "";
  };
  std::string text = profiles::import_claude(*settings, {"s.json", base, refuse});
  auto tree = profiles::parse_toml(text, "t.toml");
  REQUIRE_MESSAGE(tree.has_value(), (tree ? "" : tree.error().message()) << text);
  auto layer = profiles::decode_layer(*tree, "t.toml");
  REQUIRE_MESSAGE(layer.has_value(), (layer ? "" : layer.error().message()) << text);
  return text;
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("every key of the sandbox block becomes a line or a remark") {
  const std::string text = imported(R"({"sandbox": {
    "enabled": true, "allowUnsandboxedCommands": false, "failIfUnavailable": true,
    "excludedCommands": ["docker *", "tmux:*", "docker", "make"],
    "network": {"allowedDomains": ["github.com", "*.npmjs.org", "*"], "deniedDomains": ["gist.github.com"],
                "allowUnixSockets": ["/run/x.sock"], "allowLocalBinding": true},
    "filesystem": {"allowWrite": ["~/out", "build", "/srv/x"], "denyRead": ["~/.ssh", "./secret"],
                   "denyWrite": ["./vendor", "~/.ssh"]},
    "credentials": {"files": [{"path": "~/.aws", "mode": "deny"}], "envVars": []}}})");
  CHECK(has(text, "\"?~/out\", # sandbox.filesystem.allowWrite[0]"));
  CHECK(has(text, "\"?${PROJECT}/build\""));
  CHECK(has(text, "\"${PROJECT}/secret\", # sandbox.filesystem.denyRead[1]"));
  CHECK(has(text, "\"${PROJECT}/vendor\", # sandbox.filesystem.denyWrite[0]"));
  CHECK(has(text, "\"~/.aws\", # sandbox.credentials.files[0]"));
  CHECK(has(text, "\"*.npmjs.org\", # sandbox.network.allowedDomains[1]"));
  CHECK(has(text, "# sandbox.network.allowedDomains[2]: stricter here: left out: \"*\""));
  CHECK(has(text, "\"gist.github.com\""));
  CHECK(has(text, "command = \"docker\"\nmode = \"filter\""));
  CHECK(has(text, "command = \"tmux\"\nmode = \"grammar\""));
  CHECK(has(text, "command = \"make\"\nmode = \"host\""));
  CHECK(has(text, "# sandbox.allowUnsandboxedCommands: stricter here"));
  CHECK(has(text, "# sandbox.enabled: not needed"));
}

TEST_CASE("a long list, and what is in it twice") {
  std::string domains;
  for (int i = 0; i < 4000; ++i) domains += "\"h" + std::to_string(i % 2000) + ".test\",";
  const std::string text =
      imported(R"({"sandbox": {"network": {"allowedDomains": [)" + domains + R"("h1.test"]}}})");
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = text.find(".test\", # ", at)) != text.npos; ++at) ++lines;
  CHECK(lines == 2000);
  CHECK(has(text, "\"h1999.test\", # sandbox.network.allowedDomains[1999]"));
}

TEST_CASE("permission rules") {
  const std::string text =
      imported(R"json({"permissions": {"deny": ["Read(./.env)", "Read(~/.config/**)",
    "Read(//etc/x)", "Edit(/src/**)", "Read(**/*.pem)", "Bash(curl:*)", "WebFetch(domain:evil.test)", "WebFetch"],
    "additionalDirectories": ["../other"]
}
})json");
  CHECK(has(text, "\"${PROJECT}/**/.env\", # permissions.deny[0]: at any depth"));
  CHECK(has(text, "\"~/.config\", # permissions.deny[1]"));
  CHECK(has(text, "\"/etc/x\", # permissions.deny[2]"));
  CHECK(has(text, "\"${PROJECT}/src\", # permissions.deny[3]"));
  CHECK(has(text, "\"${PROJECT}/**/*.pem\", # permissions.deny[4]\n"));
  CHECK(has(text, "# permissions.deny[5]: cannot be expressed"));
  CHECK(has(text, "\"evil.test\", # permissions.deny[6]"));
}

TEST_CASE("settings of a user and of a project") {
  const char* json =
      R"json({"sandbox": {"filesystem": {"allowWrite": ["./cache"], "denyRead": ["keys"]}},
    "permissions": {"deny": ["Read(/keys/**)"], "additionalDirectories": ["sub"]}})json";
  const std::string user = imported(json, "~/.claude");
  CHECK(has(user, "\"?~/.claude/cache\", # sandbox.filesystem.allowWrite[0]: relative to"));
  CHECK(has(user, "\"~/.claude/keys\""));
  CHECK_FALSE(has(user, "${PROJECT}/cache"));
  CHECK_FALSE(has(user, "${PROJECT}/keys"));
  CHECK(has(user, "\"?${PROJECT}/sub\""));
  const std::string project = imported(json);
  CHECK(has(project, "\"?${PROJECT}/cache\", # sandbox.filesystem.allowWrite[0]\n"));
  CHECK(has(project, "\"${PROJECT}/keys\""));
  CHECK(has(project, "\"${CWD}/keys\""));
}

TEST_CASE("excluded commands keep to their arguments") {
  const std::string text = imported(R"json({"sandbox": {"excludedCommands": [
    "git push:*", "git fetch *", "make", "make all", "gh pr:*", "docker ps:*", "tmux ls"]}})json");
  CHECK(
      has(text,
          "# sandbox.excludedCommands[0]: stricter here: git stays inside. By these lines it runs "
          "on the host\n# with your rights where allow permits it, and any other call of it is "
          "refused, inside as well:\n# [[excluded]]\n# command = \"git\"\n# mode = \"host\"\n"
          "# allow = [\n#   \"push [-*] ...\", # sandbox.excludedCommands[0]\n"
          "#   \"fetch [-*] ...\", # sandbox.excludedCommands[1]\n# ]\n"));
  CHECK(has(text, "mode = \"host\" # sandbox.excludedCommands[2]: weaker here: "));
  CHECK(
      has(text, "# sandbox.excludedCommands[3]: not needed: sandbox.excludedCommands[2] permits"));
  CHECK(
      has(text, "# sandbox.excludedCommands[4]: stricter here: left out, so that it stays inside"));
  CHECK(has(text, "mode = \"filter\" # sandbox.excludedCommands[5]: stricter here"));
  CHECK(has(text,
            "mode = \"grammar\" # sandbox.excludedCommands[6]: stricter here: what it may do "
            "is filtered\nallow = [\n  \"ls\", "));
}

TEST_CASE("what contradicts itself, or would be refused, is left out with a remark") {
  const std::string text = imported(R"json({"sandbox": {
    "network": {"allowedDomains": ["a.test", "b.test"], "deniedDomains": ["b.test"]},
    "filesystem": {"allowWrite": ["/tmp", "/srv/x", "/srv/y"], "allowRead": ["/srv//x/", "/srv/p"],
                   "denyRead": ["/srv/x/."], "denyWrite": ["/srv/x", "/srv/y", "/srv/p", "."]}}})json");
  CHECK(has(text,
            "# sandbox.network.allowedDomains[1]: stricter here: left out: \"b.test\" is in "
            "network.deny by sandbox.network.deniedDomains[0]\n"));
  CHECK(has(text,
            "# sandbox.filesystem.allowWrite[0]: stricter here: left out: \"/tmp\": it is "
            "private inside\n"));
  CHECK(has(text,
            "# sandbox.filesystem.allowWrite[1]: stricter here: left out: \"/srv/x\" is in "
            "filesystem.hide by sandbox.filesystem.denyRead[0]\n"));
  CHECK(has(text, "# sandbox.filesystem.allowRead[0]: stricter here: left out: \"/srv/x\""));
  CHECK(has(text, "# sandbox.filesystem.denyWrite[0]: stricter here: left out: \"/srv/x\""));
  CHECK(has(text,
            "# sandbox.filesystem.allowWrite[2]: stricter here: left out: \"/srv/y\" is in "
            "filesystem.protect by sandbox.filesystem.denyWrite[1]\n"));
  CHECK(has(text, "\"?/srv/p\", # sandbox.filesystem.allowRead[1]\n"));
  CHECK(has(text, "\"${CWD}\", # sandbox.filesystem.denyWrite[3]"));
  CHECK_FALSE(has(text, "write = ["));
}

TEST_CASE("a profile takes so many patterns") {
  std::string rules;
  for (int i = 0; i < 33; ++i) rules += "\"Read(*.k" + std::to_string(i) + ")\",";
  const std::string text =
      imported(R"json({"permissions": {"deny": [)json" + rules + R"json("Edit(*.k0)"]}})json");
  CHECK(has(text, "\"${PROJECT}/**/*.k31\", # permissions.deny[31]"));
  CHECK(has(text,
            "# permissions.deny[32]: weaker here: left out: \"${PROJECT}/**/*.k32\": a "
            "profile takes 32 patterns\n"));
  CHECK(has(text, "# permissions.deny[33]: stricter here: left out: "));
}

TEST_CASE("the header says stricter where nothing is weaker") {
  const char* throughout = "Stricter here throughout";
  CHECK(has(imported(R"json({"permissions": {"deny": ["Read(.env)", "Bash(curl:*)"]}})json"),
            throughout));
  CHECK(has(imported(R"json({"sandbox": {"excludedCommands": ["git push:*", "docker"]}})json"),
            throughout));
  CHECK(has(imported(R"json({"sandbox": {"filesystem": {"allowWrite": ["~/*/x"]}}})json"),
            throughout));
  for (const char* json : {
           R"json({"permissions": {"deny": ["Read(../x)"]}})json",
           R"json({"permissions": {"deny": ["Read(//**/.env)"]}})json",
           R"json({"permissions": {"deny": "Read(.env)"}})json",
           R"json({"sandbox": {"excludedCommands": ["make *"]}})json",
           R"json({"sandbox": {"network": {"deniedDomains": ["a b"]}}})json",
           R"json({"sandbox": {"unheard_of": 1}})json",
       }) {
    CAPTURE(json);
    const std::string text = imported(json);
    CHECK_FALSE(has(text, throughout));
    CHECK(has(text, "Not stricter throughout"));
  }
}

TEST_CASE("what has the wrong type, and what is unknown, is a remark") {
  struct Case {
    const char *json, *remark;
  };
  const Case cases[] = {
      {R"json({"permissions": {"deny": "Read(./.env)"}})json",
       "# permissions.deny: not taken over: a list is expected, not a string\n"},
      {R"({"sandbox": {"filesystem": {"denyRead": "~/.aws"}}})",
       "# sandbox.filesystem.denyRead: not taken over: a list is expected, not a string\n"},
      {R"({"sandbox": 3})", "# sandbox: not taken over: an object is expected, not a number\n"},
      {R"({"permissions": ["x"]})",
       "# permissions: not taken over: an object is expected, not a list\n"},
      {R"({"sandbox": {"network": null}})",
       "# sandbox.network: not taken over: an object is expected, not null\n"},
      {R"({"sandbox": {"network": {"allowedDomain": ["a.test"]}}})",
       "# sandbox.network.allowedDomain: not taken over: unknown (did you mean "
       "\"allowedDomains\"?)\n"},
      {R"({"sandbox": {"what\n[x]": true}})", "# sandbox.what\\n[x]: not taken over: unknown\n"},
      {R"json({"permissions": {"denny": ["Read(./x)"]}})json",
       "# permissions.denny: not taken over: unknown (did you mean \"deny\"?)\n"},
      {R"({"sandbox": {"network": {"deniedDomains": [true]}}})",
       "# sandbox.network.deniedDomains[0]: not taken over: a string is expected, not a boolean\n"},
      {R"({"sandbox": {"credentials": {"files": [{"mode": "deny"}, 3]}}})",
       "# sandbox.credentials.files[1]: not taken over: it has no path\n"},
      {R"({"sandbox": {"credentials": {"files": "~/.aws"}}})",
       "# sandbox.credentials.files: not taken over: a list is expected, not a string\n"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.json);
    const std::string text = imported(c.json);
    CAPTURE(text);
    CHECK(has(text, c.remark));
  }
  CHECK_FALSE(has(imported(R"({"permissions": {"allow": ["Bash"], "defaultMode": "plan"}})"),
                  "permissions"));
}

TEST_CASE("hostile values make no other lines") {
  const std::string text = imported(
      "{\"sandbox\": {\"network\": {\"allowedDomains\": [\"x\\n[process]\\nnested_userns = "
      "true\"]},"
      "\"filesystem\": {\"allowWrite\": [\"/a\\\"]\\n[process]\\n\"]}, \"excludedCommands\": "
      "[\"a\\nb\"]}}");
  CHECK(!has(text, "\n[process]"));
  CHECK(imported("{}").find("extends") != std::string::npos);
  CHECK(imported("{\"sandbox\": 3, \"permissions\": []}").find("extends") != std::string::npos);
}
