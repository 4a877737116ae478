#include "launcher/broker/docker/bodies.h"
#include "launcher/broker/docker/container.h"
#include "tests/fuzz/expect.h"

using namespace dirbox;
using namespace dirbox::docker;

namespace {

FilterSpec make_spec() {
  FilterSpec spec;
  spec.project = "p1";
  spec.uid = spec.gid = 1000;
  spec.memory = {1 << 20, "m"};
  spec.cpus = {1000, "c"};
  spec.pids = {10, "p"};
  spec.shm = {1 << 20, "s"};
  spec.networks = {{"none", "net"}, "n"};
  spec.images = {{"*"}, "i"};
  BindRoot work;
  work.path = "/w";
  work.writable = true;
  work.masks = {{"a/b", true, true}};
  BindRoot read;
  read.path = "/r";
  spec.binds = {work, read};
  return spec;
}

void check_container_body(const Json& body) {
  const Json& host = *body.find("HostConfig");
  expect(!flag_at(host, "Privileged"));
  expect(host.find("CapDrop")->dump() == "[\"ALL\"]");
  expect(host.find("CapAdd")->dump() == "[]");
  expect(host.find("SecurityOpt")->dump() == "[\"no-new-privileges\"]");
  expect(integer_at(host, "Memory") > 0 && integer_at(host, "Memory") <= 1 << 20);
  expect(integer_at(host, "MemorySwap") > 0 && integer_at(host, "MemorySwap") <= 1 << 20);
  expect(integer_at(host, "NanoCpus") > 0 && integer_at(host, "NanoCpus") <= 1000);
  expect(integer_at(host, "PidsLimit") > 0 && integer_at(host, "PidsLimit") <= 10);
  std::string network = text_at(host, "NetworkMode");
  expect(network == "none" || network == "net");
  bool bound = false;
  for (const Json& bind : *host.find("Binds")->as_array()) {
    const std::string& text = *bind.as_string();
    expect(text.starts_with("/w:/") || (text.starts_with("/r:/") && text.ends_with(":ro")));
    bound = true;
  }
  if (bound) expect(text_at(body, "User") == "1000:1000");
  expect(text_at(*body.find("Labels"), kProjectLabel) == "p1");
  for (const char* gone : {"Mounts", "Devices", "PidMode", "VolumesFrom", "UsernsMode", "Runtime",
                           "MaskedPaths", "ReadonlyPaths", "CgroupParent", "PortBindings"})
    expect(host.find(gone) == nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const FilterSpec kSpec = make_spec();
  auto body = parse_body(text_of(data, size));
  if (!body) return 0;
  if (auto made = rebuild_create(*body, kSpec, {})) check_container_body(made->body);
  if (auto made = rebuild_exec(*body, kSpec, {}, true)) {
    expect(!flag_at(*made, "Privileged"));
    expect(text_at(*made, "User") == "1000:1000");
  }
  if (auto filters = add_filter(text_of(data, size), "label", "a=b")) {
    auto again = parse_body(*filters);
    if (again) expect(again->find("label")->find("a=b") != nullptr);
  }
  if (auto container = check_container(*body, "x", kSpec, {})) expect(container->id.size() == 64);
  return 0;
}
