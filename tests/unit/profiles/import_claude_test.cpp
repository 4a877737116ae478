#include "profiles/import_claude.h"

#include <doctest/doctest.h>

#include "profiles/decode.h"
#include "profiles/toml_reader.h"

using namespace dirbox;

namespace {

std::string imported(const std::string& json) {
  auto settings = Json::parse(json);
  REQUIRE_MESSAGE(settings.has_value(), (settings ? "" : settings.error().message()));
  std::string text = profiles::import_claude(*settings, "s.json");
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
  CHECK(has(text, "# sandbox.network.allowedDomains[2]: not taken over: \"*\""));
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
  CHECK(has(text, "\"${PROJECT}/.env\", # permissions.deny[0]"));
  CHECK(has(text, "\"~/.config\", # permissions.deny[1]"));
  CHECK(has(text, "\"/etc/x\", # permissions.deny[2]"));
  CHECK(has(text, "\"${PROJECT}/src\", # permissions.deny[3]"));
  CHECK(has(text, "# permissions.deny[5]: cannot be expressed"));
  CHECK(has(text, "\"evil.test\", # permissions.deny[6]"));
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
