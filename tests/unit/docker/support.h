#pragma once
#include <string>

#include "launcher/broker/docker/rebuild.h"

/// A spec such as the Plan makes.
namespace dirbox::docker {

inline FilterSpec make_spec() {
  FilterSpec spec;
  spec.sockets = {"/run/docker.sock"};
  spec.project = "p1";
  spec.uid = 1000;
  spec.gid = 1001;
  spec.memory = {512 << 20, "docker.memory (x.toml:1)"};
  spec.cpus = {2'000'000'000, "docker.cpus (x.toml:2)"};
  spec.pids = {256, "docker.pids (x.toml:3)"};
  spec.shm = {64 << 20, "docker.shm (x.toml:4)"};
  spec.containers = {8, "docker.max_containers (x.toml:5)"};
  spec.networks = {{"none", "sandbox-net"}, "docker.networks (x.toml:6)"};
  spec.images = {{"*"}, "docker.images (x.toml:7)"};
  spec.capabilities = {{"CHOWN"}, "docker.capabilities (x.toml:8)"};
  BindRoot work;
  work.path = "/home/u/proj";
  work.writable = true;
  work.masks = {{".git/hooks", true, false}, {".env", false, true}};
  BindRoot settings;
  settings.path = "/home/u/.claude/settings.json";
  settings.directory = false;
  BindRoot barred;
  barred.path = "/home/u/barred";
  barred.refusal = "something deep in it is hidden";
  spec.binds = {work, settings, barred};
  spec.binds_rule = "docker.binds (x.toml:9)";
  return spec;
}

inline Json json_of(std::string_view text) {
  auto parsed = Json::parse(text);
  return parsed ? *parsed : Json("not JSON");
}

/// The sentence of a refusal; "" for success.
template <class T>
std::string why(const Result<T>& result) {
  return result ? std::string() : result.error().detail;
}
template <class T>
int code(const Result<T>& result) {
  return result ? 0 : result.error().err;
}

}  // namespace dirbox::docker
