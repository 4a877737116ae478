#include "launcher/plan/layers.h"

#include "tests/unit/plan/fake_host.h"

using namespace dirbox;
using namespace dirbox::plan;

namespace {

const std::string kBase = "[filesystem]\nread = [\"/usr\"]\nwrite = [\"${CWD}\"]\n";

Enforced find(const Plan& plan, std::string_view beginning) {
  for (const Enforced& enforced : list_enforced(plan)) {
    if (enforced.promise.starts_with(beginning)) return enforced;
  }
  FAIL(beginning);
  return {};
}

std::size_t count_missing(const Plan& plan) {
  std::size_t count = 0;
  for (const Enforced& enforced : list_enforced(plan)) count += enforced.missing.size();
  return count;
}

}  // namespace

TEST_CASE("every layer is in force, but for what a waiver took") {
  FakeHost host;
  Plan whole = host.compile(FakeHost::profile(kBase));
  CHECK(count_missing(whole) == 0);
  CHECK(describe_layers(find(whole, "what no rule grants")) == "mount, landlock");
  CHECK(render_layers(whole).find("can be neither read nor written") != std::string::npos);
}

TEST_CASE("without Landlock") {
  FakeHost host;
  host.facts.landlock_abi = 0;
  Plan plan = host.compile(FakeHost::profile(kBase + "[require]\nlandlock = \"optional\"\n"));
  CHECK(describe_layers(find(plan, "what no rule grants")) == "mount (not: landlock)");
  CHECK(describe_layers(find(plan, "abstract sockets")) == "netns (not: landlock)");
}

TEST_CASE("a Landlock that knows no scopes") {
  FakeHost host;
  host.facts.landlock_abi = 5;
  Plan plan = host.compile(FakeHost::profile(kBase));
  CHECK(find(plan, "what no rule grants").missing.empty());
  CHECK(describe_layers(find(plan, "processes of the host are not signalled")) ==
        "namespace (not: landlock)");
}

TEST_CASE("the host's network, nested namespaces, no guard, a command without rules") {
  FakeHost host;
  host.files.program("/usr/bin/tool");
  Plan plan = host.compile(
      FakeHost::profile("excluded = [{command = \"tool\", mode = \"host\"}]\nnetwork.mode = "
                        "\"host\"\nprocess.nested_userns = true\n" +
                        kBase + "guard = \"off\"\n"));
  CHECK(describe_layers(find(plan, "only hosts")) == "nothing (not: netns, proxy)");
  CHECK(describe_layers(find(plan, "no user namespace")) == "nothing (not: namespace, seccomp)");
  CHECK(describe_layers(find(plan, "what the host would execute")) == "mount (not: guard)");
  CHECK(describe_layers(find(plan, "commands run on the host")) == "nothing (not: broker)");
  const Json json = layers_to_json(plan);
  REQUIRE(json.as_array() != nullptr);
  for (const Json& item : *json.as_array()) {
    CHECK(item.find("promise")->as_string() != nullptr);
    CHECK(item.find("layers")->as_array() != nullptr);
    CHECK(item.find("missing")->as_array() != nullptr);
  }
}
