#include <doctest/doctest.h>
#include <fmt/format.h>

#include "launcher/broker/docker/bodies.h"
#include "tests/unit/docker/support.h"

using namespace dirbox;
using namespace dirbox::docker;

namespace {

const FilterSpec kSpec = make_spec();

Result<CreateBody> create(std::string_view text, EngineFacts engine = {}) {
  auto body = parse_body(text);
  if (!body) return Failure(body.error());
  return rebuild_create(*body, kSpec, engine);
}
/// A request whose HostConfig is `text`.
Result<CreateBody> host(std::string_view text, EngineFacts engine = {}) {
  return create(fmt::format(R"({{"Image":"bb","HostConfig":{}}})", text), engine);
}
Json host_of(const Result<CreateBody>& made) { return *made->body.find("HostConfig"); }
std::string text_of(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  return value != nullptr ? value->dump() : "absent";
}

}  // namespace

TEST_CASE("every container is confined and limited, whatever was said") {
  auto made = create(R"({"Image":"bb","Cmd":["true"],"Labels":{"x":"y"}})");
  REQUIRE(made);
  Json config = host_of(made);
  CHECK(text_of(config, "SecurityOpt") == R"(["no-new-privileges"])");
  CHECK(text_of(config, "CapDrop") == R"(["ALL"])");
  CHECK(text_of(config, "CapAdd") == R"(["CHOWN"])");
  CHECK(text_of(config, "Privileged") == "false");
  CHECK(text_of(config, "Memory") == "536870912");
  CHECK(text_of(config, "MemorySwap") == "536870912");
  CHECK(text_of(config, "NanoCpus") == "2000000000");
  CHECK(text_of(config, "PidsLimit") == "256");
  CHECK(text_of(config, "NetworkMode") == R"("none")");
  CHECK(text_of(config, "LogConfig") == R"({"Type":"json-file","Config":{"max-size":"10m"}})");
  CHECK(text_of(made->body, "Labels") == R"({"x":"y","dirbox.project":"p1"})");
  CHECK(text_of(made->body, "User") == "absent");
}

TEST_CASE("a machine with fewer CPUs than the profile permits") {
  EngineFacts engine;
  engine.cpus = 1'000'000'000;
  CHECK(text_of(host_of(host("{}", engine)), "NanoCpus") == "1000000000");
  CHECK(text_of(host_of(host(R"({"NanoCpus":0})", engine)), "NanoCpus") == "1000000000");
  CHECK(text_of(host_of(host(R"({"NanoCpus":1500000000})", engine)), "NanoCpus") == "1500000000");
  CHECK(code(host(R"({"NanoCpus":2500000000})", engine)) == EPERM);
  engine.cpus = 8'000'000'000;
  CHECK(text_of(host_of(host("{}", engine)), "NanoCpus") == "2000000000");
}

TEST_CASE("podman gives no variable of its own to a container") {
  constexpr std::string_view kBody = R"({"Image":"bb","Env":["*","HOME","SET=1","EMPTY="]})";
  EngineFacts podman;
  podman.podman = true;
  CHECK(text_of(create(kBody, podman)->body, "Env") == R"(["SET=1","EMPTY="])");
  // To dockerd a bare name means that the image's value goes.
  CHECK(text_of(create(kBody)->body, "Env") == R"(["*","HOME","SET=1","EMPTY="])");
  auto exec = rebuild_exec(json_of(R"({"Cmd":["x"],"Env":["*","A=b"]})"), kSpec, podman, false);
  REQUIRE(exec);
  CHECK(text_of(*exec, "Env") == R"(["A=b"])");
  CHECK_FALSE(create(R"({"Image":"bb","Env":[1]})"));
  CHECK_FALSE(create(R"({"Image":"bb","Env":"*"})"));
}

TEST_CASE("keys count only as the API writes them") {
  // Go would take each of these for HostConfig, the last one or both merged.
  CHECK(code(create(R"({"Image":"bb","hostconfig":{"Privileged":true}})")) == EPERM);
  CHECK(code(create("{\"Image\":\"bb\",\"Ho\xc5\xbftConfig\":{\"Privileged\":true}}")) == EBADMSG);
  CHECK(code(create(R"({"Image":"bb","HostConfig":{},"hostConfig":{"Privileged":true}})")) ==
        EBADMSG);
  CHECK(code(create(R"({"Image":"bb","HostConfig":{},"HostConfig":{"Privileged":true}})")) ==
        EBADMSG);
  CHECK(code(host(R"({"privileged":true})")) == EPERM);
  CHECK(code(create(R"({"Image":"bb"} {"HostConfig":{}})")) == EBADMSG);
  CHECK(code(create(R"({"Image":"bb"}x)")) == EBADMSG);
  CHECK(code(create(R"([])")) == EBADMSG);
  CHECK(code(create(R"({"Image":"bb",})")) == EBADMSG);
  // An unknown key that says nothing is left out.
  auto made = create(R"({"Image":"bb","Novelty":null,"Other":[]})");
  REQUIRE(made);
  CHECK(text_of(made->body, "Novelty") == "absent");
}

TEST_CASE("what would reach the host is refused") {
  const char* refused[] = {
      R"({"Privileged":true})",
      R"({"CapAdd":["SYS_ADMIN"]})",
      R"({"CapAdd":["ALL"]})",
      R"({"Devices":[{"PathOnHost":"/dev/sda"}]})",
      R"({"DeviceRequests":[{"Count":-1}]})",
      R"({"DeviceCgroupRules":["c 1:3 rwm"]})",
      R"({"SecurityOpt":["seccomp=unconfined"]})",
      R"({"SecurityOpt":["no-new-privileges:false"]})",
      R"({"MaskedPaths":[]})",
      R"({"ReadonlyPaths":[]})",
      R"({"PidMode":"host"})",
      R"({"PidMode":"container:x"})",
      R"({"UTSMode":"host"})",
      R"({"UsernsMode":"host"})",
      R"({"IpcMode":"host"})",
      R"({"IpcMode":"container:x"})",
      R"({"IpcMode":"shareable"})",
      R"({"CgroupnsMode":"host"})",
      R"({"CgroupParent":"/"})",
      R"({"Cgroup":"x"})",
      R"({"Runtime":"other"})",
      R"({"VolumesFrom":["x"]})",
      R"({"VolumeDriver":"x"})",
      R"({"Links":["x:y"]})",
      R"({"GroupAdd":["docker"]})",
      R"({"Sysctls":{"net.ipv4.ip_forward":"1"}})",
      R"({"ExtraHosts":["x:host-gateway"]})",
      R"({"Dns":["8.8.8.8"]})",
      R"({"PortBindings":{"80/tcp":[{"HostPort":"80"}]}})",
      R"({"PublishAllPorts":true})",
      R"({"LogConfig":{"Type":"syslog","Config":{"syslog-address":"udp://1.2.3.4:514"}}})",
      R"({"LogConfig":{"Type":"","Config":{"syslog-address":"x"}}})",
      R"({"LogConfig":{"Type":"json-file","Config":{"max-size":"11m"}}})",
      R"({"LogConfig":{"Type":"json-file","Config":{"max-size":"1g"}}})",
      R"({"LogConfig":{"Type":"json-file","Config":{"max-size":"-1"}}})",
      R"({"LogConfig":{"Type":"json-file","Config":{"max-size":"99999999999999999999m"}}})",
      R"({"LogConfig":{"Type":"json-file","Config":{"max-size":""}}})",
      R"({"LogConfig":{"Type":"local","Config":{"max-size":"1m","max-file":"6"}}})",
      R"({"StorageOpt":{"size":"1"}})",
      R"({"OomScoreAdj":-500})",
      R"({"OomKillDisable":true})",
      R"({"Ulimits":[{"Name":"nofile","Soft":1}]})",
      R"({"Annotations":{"run.oci.keep_original_groups":"1"}})",
      R"({"CpusetCpus":"0"})",
      R"({"BlkioDeviceReadBps":[{"Path":"/dev/sda"}]})",
      R"({"CpuQuota":100000})",
      R"({"RestartPolicy":{"Name":"always"}})",
      R"({"NetworkMode":"host"})",
      R"({"NetworkMode":"bridge"})",
      R"({"NetworkMode":"container:x"})",
      R"({"Memory":107374182400})",
      R"({"Memory":-1})",
      R"({"MemorySwap":-1})",
      R"({"NanoCpus":64000000000})",
      R"({"PidsLimit":100000})",
      R"({"ShmSize":1073741824})",
      R"({"Novelty":1})",
      R"({"ContainerIDFile":"x","Novelty":{"a":1}})",
  };
  for (const char* text : refused) {
    INFO(text);
    CHECK(code(host(text)) == EPERM);
  }
  CHECK(code(create(R"({"Image":"bb","MacAddress":"02:00:00:00:00:01"})")) == EPERM);
  CHECK(code(create(R"({"Image":"bb","Labels":{"dirbox.project":"other"}})")) == EPERM);
  CHECK(code(create(R"({"Image":"bb","Labels":{"ofelia.job-run.x.image":"y"}})")) == EPERM);
  CHECK(code(create(R"({"Image":"bb","Labels":{"PODMAN_SYSTEMD_UNIT":"x"}})")) == EPERM);
  CHECK(code(create(R"({"Image":"../x"})")) == EBADMSG);
  CHECK(code(create(R"({"Cmd":["x"]})")) == EBADMSG);
  // A refusal names the rule.
  CHECK(why(host(R"({"Memory":107374182400})")).find("docker.memory (x.toml:1)") !=
        std::string::npos);
  CHECK(why(host(R"({"NetworkMode":"host"})")).find("docker.networks (x.toml:6)") !=
        std::string::npos);
}

TEST_CASE("limits that are asked for within the profile's are kept") {
  auto made = host(R"({"Memory":67108864,"MemorySwap":134217728,"NanoCpus":500000000,
                       "PidsLimit":10,"ShmSize":1048576,"CapAdd":["CAP_CHOWN"],
                       "RestartPolicy":{"Name":"","MaximumRetryCount":0},"MemorySwappiness":-1,
                       "ConsoleSize":[24,80],"Isolation":"default","SecurityOpt":null})");
  REQUIRE(made);
  Json config = host_of(made);
  CHECK(text_of(config, "Memory") == "67108864");
  CHECK(text_of(config, "MemorySwap") == "134217728");
  CHECK(text_of(config, "NanoCpus") == "500000000");
  CHECK(text_of(config, "PidsLimit") == "10");
  CHECK(text_of(config, "ConsoleSize") == "absent");
  // Swap without limit is what 0 means to the engine.
  CHECK(text_of(host_of(host(R"({"Memory":67108864,"MemorySwap":0})")), "MemorySwap") ==
        "67108864");
  CHECK(text_of(host_of(host(R"({"PidsLimit":-1})")), "PidsLimit") == "256");
}

TEST_CASE("bind sources are exactly the granted roots") {
  const char* refused[] = {
      "/:/h",
      "/etc:/e",
      "/home/u/proj/sub:/w",
      "/home/u/proj/../proj:/w",
      "/home/u/proj/.:/w",
      "/home/u//proj:/w",
      "/home/u/projX:/w",
      "/home/u:/w",
      "/var/run/docker.sock:/s",
      "/home/u/barred:/w",
      "/home/u/proj:/w:rw,rshared",
      "/home/u/proj:/w:z",
      "/home/u/proj:/w:rw:ro",
      "/home/u/proj:/",
      "/home/u/.claude/settings.json:/s",
      "/home/u/.claude/settings.json:/s:rw",
      "name:/w",
      "name:/w:ro",
      "/w",
      "home/u/proj:/w",
      "/home/u/proj\n:/w",
  };
  for (const char* text : refused) {
    INFO(text);
    CHECK_FALSE(host(fmt::format(R"({{"Binds":[{}]}})", Json(text).dump())));
  }
  for (const char* target : {"w", "../w", "/w/../x", "/w/./x", "//w", ""}) {
    INFO(target);
    CHECK_FALSE(host(fmt::format(R"({{"Binds":["/home/u/proj:{}"]}})", target)));
  }
  CHECK(why(host(R"({"Binds":["/etc:/e"]})")).find("docker.binds (x.toml:9)") != std::string::npos);
}

TEST_CASE("what the sandbox may not see or write is masked in the container too") {
  auto made = host(R"({"Binds":["/home/u/proj:/w","/home/u/.claude/settings.json:/s:ro"]})");
  REQUIRE(made);
  CHECK(text_of(host_of(made), "Binds") ==
        R"(["/home/u/proj:/w:rw","/dev/null:/w/.env:ro","/home/u/.claude/settings.json:/s:ro"])");
  CHECK(text_of(host_of(made), "Tmpfs") == R"({"/w/.git/hooks":"ro,size=4k,mode=755"})");
  // Root in a writable mount is root on the host, unless the engine is the user's own.
  CHECK(text_of(made->body, "User") == R"("1000:1001")");
  CHECK(made->roots.size() == 2);
  EngineFacts rootless;
  rootless.rootless = true;
  auto own = host(R"({"Binds":["/home/u/proj:/w"]})", rootless);
  REQUIRE(own);
  CHECK(text_of(own->body, "User") == "absent");
  // Read-only: what is protected needs no mask, what is hidden does.
  auto read = host(R"({"Binds":["/home/u/proj/:/w/:ro"]})");
  REQUIRE(read);
  CHECK(text_of(host_of(read), "Tmpfs") == "{}");
  CHECK(text_of(host_of(read), "Binds") == R"(["/home/u/proj:/w:ro","/dev/null:/w/.env:ro"])");
}

TEST_CASE("Mounts: bind and tmpfs with nothing else") {
  auto made = host(R"({"Mounts":[{"Type":"bind","Source":"/home/u/proj","Target":"/w"},
                                 {"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1024}}]})");
  REQUIRE(made);
  CHECK(text_of(host_of(made), "Binds") == R"(["/home/u/proj:/w:rw","/dev/null:/w/.env:ro"])");
  CHECK(text_of(host_of(made), "Tmpfs") ==
        R"({"/w/.git/hooks":"ro,size=4k,mode=755","/t":"nosuid,nodev,size=1024"})");
  const char* refused[] = {
      R"({"Type":"bind","Source":"/etc","Target":"/w"})",
      R"({"Type":"bind","Source":"/home/u/proj","Target":"/w","BindOptions":{"Propagation":"rshared"}})",
      R"({"Type":"volume","Source":"v","Target":"/w"})",
      R"({"Type":"volume","Target":"/w","VolumeOptions":{"DriverConfig":{"Name":"local",
          "Options":{"type":"none","o":"bind","device":"/etc"}}}})",
      R"({"Type":"bind","Source":"/home/u/proj","Target":"/w","VolumeOptions":{"NoCopy":true}})",
      R"({"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1073741824}})",
      R"({"Type":"tmpfs","Target":"/t","TmpfsOptions":{"Options":[["exec"]]}})",
      R"({"Type":"npipe","Source":"x","Target":"/w"})",
      R"({"type":"bind","Source":"/etc","Target":"/w"})",
      R"({"Target":"/w"})",
  };
  for (const char* text : refused) {
    INFO(text);
    CHECK(code(host(fmt::format(R"({{"Mounts":[{}]}})", text))) == EPERM);
  }
  CHECK(host(R"({"Tmpfs":{"/t":"size=16m,noexec"}})"));
  CHECK_FALSE(host(R"({"Tmpfs":{"/t":"size=16g"}})"));
  CHECK_FALSE(host(R"({"Tmpfs":{"/t":"mpol=bind"}})"));
}

TEST_CASE("networks: default is the first permitted one") {
  auto made = create(R"({"Image":"bb","HostConfig":{"NetworkMode":"default"},
                         "NetworkingConfig":{"EndpointsConfig":{"default":{"MacAddress":""}}}})");
  REQUIRE(made);
  CHECK(text_of(host_of(made), "NetworkMode") == R"("none")");
  CHECK(text_of(made->body, "NetworkingConfig") == R"({"EndpointsConfig":{}})");
  auto other = create(R"({"Image":"bb","HostConfig":{"NetworkMode":"sandbox-net"},
      "NetworkingConfig":{"EndpointsConfig":{"sandbox-net":{"Aliases":["a"],"IPAMConfig":null}}}})");
  REQUIRE(other);
  CHECK(text_of(made->body, "NetworkingConfig") == R"({"EndpointsConfig":{}})");
  CHECK(text_of(other->body, "NetworkingConfig") ==
        R"({"EndpointsConfig":{"sandbox-net":{"Aliases":["a"]}}})");
  CHECK(code(create(R"({"Image":"bb","NetworkingConfig":{"EndpointsConfig":{"bridge":{}}}})")) ==
        EPERM);
  CHECK(code(create(R"({"Image":"bb","NetworkingConfig":{"EndpointsConfig":{"sandbox-net":
      {"IPAMConfig":{"IPv4Address":"10.0.0.1"}}}}})")) == EPERM);
}

TEST_CASE("images by pattern") {
  FilterSpec spec = make_spec();
  spec.images.values = {"node:*", "ghcr.io/own/*"};
  CHECK(check_image(spec, "node:20"));
  CHECK(check_image(spec, "ghcr.io/own/a/b:1"));
  CHECK(code(check_image(spec, "node")) == EPERM);
  CHECK(code(check_image(spec, "0123456789ab")) == EPERM);
  CHECK(code(check_image(spec, "-x")) == EBADMSG);
}

TEST_CASE("exec has no privileges, and the caller's user where there is a mount") {
  auto body = parse_body(R"({"Cmd":["id"],"User":"0","AttachStdout":true})");
  auto free = rebuild_exec(*body, kSpec, {}, false);
  REQUIRE(free);
  CHECK(text_of(*free, "User") == R"("0")");
  auto bound = rebuild_exec(*body, kSpec, {}, true);
  REQUIRE(bound);
  CHECK(text_of(*bound, "User") == R"("1000:1001")");
  CHECK(text_of(*bound, "Privileged") == "false");
  CHECK_FALSE(rebuild_exec(*parse_body(R"({"Cmd":["id"],"Privileged":true})"), kSpec, {}, false));
  CHECK_FALSE(rebuild_exec(*parse_body(R"({"privileged":true})"), kSpec, {}, false));
  CHECK_FALSE(rebuild_exec_start(*parse_body(R"({"Binds":["/:/h"]})"), kSpec, {}));
  CHECK(rebuild_exec_start(*parse_body(R"({"Detach":false,"Tty":true})"), kSpec, {}));
}

TEST_CASE("filters are limited, in both of their forms") {
  CHECK(*add_filter("", "label", "a=b") == R"({"label":{"a=b":true}})");
  CHECK(*add_filter(R"({"label":["x"],"name":{"n":true}})", "label", "a=b") ==
        R"({"label":{"x":true,"a=b":true},"name":{"n":true}})");
  // Said to be false, it counts all the same: engines look at the keys.
  CHECK(*add_filter(R"({"label":{"a=b":false}})", "label", "a=b") == R"({"label":{"a=b":true}})");
  CHECK(*add_filter(R"({"type":["image"]})", "type", "container", "type") ==
        R"({"type":{"container":true}})");
  CHECK_FALSE(add_filter(R"({"label":["x"],"LABEL":["y"]})", "label", "a=b"));
  CHECK_FALSE(add_filter(R"([1])", "label", "a=b"));
  CHECK_FALSE(add_filter(R"({"label":[1]})", "label", "a=b"));
}

TEST_CASE("a spec survives its way to the filter") {
  auto again = parse_spec(spec_to_json(kSpec).dump());
  REQUIRE(again);
  CHECK(spec_to_json(*again).dump() == spec_to_json(kSpec).dump());
  CHECK_FALSE(parse_spec("{}"));
}
