#include "launcher/broker/docker/container.h"

#include <doctest/doctest.h>

#include "launcher/broker/docker/transform.h"
#include "tests/unit/docker/support.h"

using namespace dirbox;
using namespace dirbox::docker;

namespace {

const FilterSpec kSpec = make_spec();
const std::string kId(64, 'a');

/// As the engine shows a container that the filter made, with some members replaced.
Json inspected(std::string_view host = "{}", std::string_view label = "p1",
               std::string_view mounts = "[]") {
  Json config = json_of(R"({"Privileged":false,"PidsLimit":256,"CapDrop":["ALL"],"CapAdd":null,
      "SecurityOpt":["no-new-privileges"],"NetworkMode":"none","PidMode":"","IpcMode":"private"})");
  Json changes = json_of(host);
  for (const auto& [key, value] : *changes.as_object()) config.set(key, value);
  Json labels = JsonObject{{"dirbox.project", label}};
  return JsonObject{{"Id", kId},
                    {"Config", JsonObject{{"Labels", labels}}},
                    {"HostConfig", config},
                    {"Mounts", json_of(mounts)}};
}
Result<Container> check(const Json& json) { return check_container(json, "x", kSpec, {}); }

}  // namespace

TEST_CASE("a container of the project is its own, by its id") {
  auto own = check(inspected());
  REQUIRE(own);
  CHECK(own->id == kId);
  CHECK(own->excess.empty());
}

TEST_CASE("others' containers look as if they were not there") {
  CHECK(why(check(inspected("{}", "p2"))) == "No such container: x");
  CHECK(code(check(inspected("{}", ""))) == ENOENT);
  CHECK(code(check(json_of("{}"))) == ENOENT);
  CHECK(code(check(json_of("[]"))) == ENOENT);
  // The label came by an image: nobody but the filter drops everything.
  for (const char* host :
       {R"({"CapDrop":null})", R"({"SecurityOpt":null})", R"({"Privileged":true})",
        R"({"PidsLimit":0})", R"({"PidMode":"host"})", R"({"NetworkMode":"host"})",
        R"({"NetworkMode":"container:abc"})", R"({"IpcMode":"host"})"}) {
    INFO(host);
    CHECK(code(check(inspected(host))) == ENOENT);
  }
}

TEST_CASE("a container of a wider profile can be looked at, not entered") {
  auto wide = check(inspected("{}", "p1", R"([{"Type":"bind","Source":"/srv","RW":false}])"));
  REQUIRE(wide);
  CHECK(wide->excess.find("/srv") != std::string::npos);
  CHECK_FALSE(check(inspected(R"({"NetworkMode":"other"})"))->excess.empty());
  CHECK_FALSE(check(inspected(R"({"CapAdd":["CAP_SYS_ADMIN"]})"))->excess.empty());
  CHECK(check(inspected(R"({"CapAdd":["CAP_CHOWN"]})"))->excess.empty());
  auto settings = check(inspected(
      "{}", "p1", R"([{"Type":"bind","Source":"/home/u/.claude/settings.json","RW":true}])"));
  CHECK_FALSE(settings->excess.empty());
}

TEST_CASE("mounts are known for what they are") {
  auto bound =
      check(inspected(R"({"Tmpfs":{"/w/.git/hooks":"ro"}})", "p1",
                      R"([{"Type":"bind","Source":"/home/u/proj","Destination":"/w","RW":true},
                                   {"Type":"bind","Source":"/dev/null","Destination":"/w/.env","RW":false},
                                   {"Type":"volume","Source":"/var/lib/docker/volumes/x","RW":true}])"));
  REQUIRE(bound);
  CHECK(bound->excess.empty());
  CHECK(bound->hidden_masks);
  CHECK(bound->roots.size() == 1);
}

TEST_CASE("containers that go on writing are named") {
  Json list = json_of(
      R"([{"Id":"1","Names":["/a"],"Labels":{"dirbox.project":"p1"},"Mounts":[{"Type":"bind","RW":true}]},
          {"Id":"2","Names":["/b"],"Labels":{"dirbox.project":"p1"},"Mounts":[{"Type":"bind","RW":false}]},
          {"Id":"3","Names":["/c"],"Labels":{"dirbox.project":"p1"},"Mounts":[{"Type":"volume","RW":true}]},
          {"Id":"4","Names":["/d"],"Labels":{"dirbox.project":"p2"},"Mounts":[{"Type":"bind","RW":true}]},
          {"Id":"5","Names":["/e"]},{"Id":"6","Labels":{"dirbox.project":"p1"}},
          {"Id":"0123456789abcdef","Labels":{"dirbox.project":"p1"},"Mounts":[{"Type":"bind","RW":true}]}])");
  CHECK(names_of_writers(list, kSpec) == "a, 0123456789ab");
  CHECK(names_of_writers(json_of("{}"), kSpec).empty());
}

TEST_CASE("answers are cut to what is the project's") {
  Json list = json_of(R"([{"Id":"1","Labels":{"dirbox.project":"p1"}},
                          {"Id":"2","Labels":{"dirbox.project":"p2"}},{"Id":"3"}])");
  CHECK(keep_own_containers(list, kSpec).dump() ==
        R"([{"Id":"1","Labels":{"dirbox.project":"p1"}}])");
  CHECK(keep_own_containers(json_of("{}"), kSpec).dump() == "[]");
  Json networks = json_of(R"([{"Name":"none","Containers":{"a":{}}},{"Name":"bridge"}])");
  CHECK(keep_permitted_networks(networks, kSpec).dump() == R"([{"Name":"none","Containers":{}}])");
  FilterSpec spec = make_spec();
  spec.images.values = {"node:*"};
  Json images =
      json_of(R"([{"RepoTags":["node:20"]},{"RepoTags":["secret:1"]},{"RepoTags":null}])");
  CHECK(keep_permitted_images(images, spec).dump() == R"([{"RepoTags":["node:20"]}])");
  Json info = reduce_info(json_of(R"({"Name":"host","NCPU":2,"Labels":["x"],"ID":"y"})"));
  CHECK(info.find("ID") == nullptr);
  CHECK(text_at(info, "Name") == "dirbox");
  CHECK(integer_at(info, "NCPU") == 2);
}
