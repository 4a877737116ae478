#include <algorithm>
#include <cerrno>

#include "launcher/broker/docker/spec.h"
#include "launcher/verify/context.h"

/// The filter of docker's API, before an engine of verify's own that only counts: no engine of the
/// host is asked, and none need run.
namespace dirbox::verify {
namespace {

struct Attempt {
  const char* subject;
  const char* method;
  const char* target;
  const char* body;  ///< "": none
};

/// Of /containers/create: what gives a container more than the sandbox has.
constexpr Attempt kContainers[] = {
    {"a privileged container", "", "", R"("HostConfig":{"Privileged":true})"},
    {"the same in another case", "", "", R"("hostconfig":{"privileged":true})"},
    {"a privileged one behind one that is not", "", "",
     R"("HostConfig":{"Privileged":false,"Privileged":true})"},
    {"/ in a container", "", "", R"("HostConfig":{"Binds":["/:/host"]})"},
    {"/etc in a container", "", "", R"("HostConfig":{"Binds":["/etc:/x:ro"]})"},
    {"docker's socket in a container", "", "",
     R"("HostConfig":{"Binds":["/var/run/docker.sock:/var/run/docker.sock"]})"},
    {"/root as a mount", "", "",
     R"("HostConfig":{"Mounts":[{"Type":"bind","Source":"/root","Target":"/x"}]})"},
    {"a volume that is a bind", "", "",
     R"("HostConfig":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":)"
     R"({"Name":"local","Options":{"type":"none","o":"bind","device":"/"}}}}]})"},
    {"every capability", "", "", R"("HostConfig":{"CapAdd":["ALL"]})"},
    {"CAP_SYS_ADMIN", "", "", R"("HostConfig":{"CapAdd":["SYS_ADMIN"]})"},
    {"a device", "", "",
     R"("HostConfig":{"Devices":[{"PathOnHost":"/dev/sda","PathInContainer":"/dev/sda",)"
     R"("CgroupPermissions":"rwm"}]})"},
    {"devices by a cgroup rule", "", "", R"("HostConfig":{"DeviceCgroupRules":["a *:* rwm"]})"},
    {"the host's processes", "", "", R"("HostConfig":{"PidMode":"host"})"},
    {"the host's network", "", "", R"("HostConfig":{"NetworkMode":"host"})"},
    {"the host's IPC", "", "", R"("HostConfig":{"IpcMode":"host"})"},
    {"the host's host name", "", "", R"("HostConfig":{"UTSMode":"host"})"},
    {"the host's users", "", "", R"("HostConfig":{"UsernsMode":"host"})"},
    {"the host's cgroups", "", "", R"("HostConfig":{"CgroupnsMode":"host"})"},
    {"no seccomp filter", "", "", R"("HostConfig":{"SecurityOpt":["seccomp=unconfined"]})"},
    {"no AppArmor profile", "", "", R"("HostConfig":{"SecurityOpt":["apparmor=unconfined"]})"},
    {"nothing masked in /proc", "", "", R"("HostConfig":{"MaskedPaths":[]})"},
    {"volumes of another container", "", "", R"("HostConfig":{"VolumesFrom":["foreign"]})"},
    {"another container's network", "", "", R"("HostConfig":{"NetworkMode":"container:foreign"})"},
    {"another runtime", "", "", R"("HostConfig":{"Runtime":"other"})"},
    {"another parent of cgroups", "", "", R"("HostConfig":{"CgroupParent":"/"})"},
    {"a sysctl", "", "", R"("HostConfig":{"Sysctls":{"kernel.core_pattern":"|/x"}})"},
};

constexpr Attempt kRequests[] = {
    {"stopping another container", "POST", "/v1.41/containers/foreign/stop", ""},
    {"a command in another container", "POST", "/v1.41/containers/foreign/exec",
     R"({"Cmd":["id"]})"},
    {"removing another container", "DELETE", "/v1.41/containers/foreign", ""},
    {"files of another container", "GET", "/v1.41/containers/foreign/archive?path=/", ""},
    {"looking at another container", "GET", "/v1.41/containers/foreign/json", ""},
    {"swarm mode", "POST", "/v1.41/swarm/init", "{}"},
    {"a plugin", "POST", "/v1.41/plugins/pull?remote=x", "[]"},
    {"a volume that is a bind", "POST", "/v1.41/volumes/create",
     R"({"Name":"x","DriverOpts":{"type":"none","o":"bind","device":"/"}})"},
    {"pulling an image", "POST", "/v1.41/images/create?fromImage=x", ""},
    {"BuildKit's session", "POST", "/v1.41/session", ""},
    {"an old version of the API", "POST", "/v1.12/containers/create", R"({"Image":"x"})"},
    {"a path in disguise", "POST", "/v1.41/%63ontainers/create", R"({"Image":"x"})"},
    {"a path by another way", "POST", "/v1.41/x/../containers/foreign/stop", ""},
    {"the engine's disk", "GET", "/v1.41/system/df", ""},
    {"secrets of the engine", "GET", "/v1.41/secrets", ""},
};

bool has_filter(const plan::Plan& plan) {
  return std::any_of(plan.spec.listeners.begin(), plan.spec.listeners.end(),
                     [](const sandbox::UnixListener& one) { return one.path == docker::kSocket; });
}

void attempt(Context& context, const char* subject, const Words& request, const Outcome& control) {
  const Servers& servers = context.canaries().servers;
  const unsigned before = servers.made();
  Words words{std::string(docker::kSocket)};
  words.insert(words.end(), request.begin(), request.end());
  const Outcome got = context.inside("http", words);
  if (servers.made() != before) {
    context.add(subject, Verdict::fail, "the engine was asked for it: " + got.text());
  } else {
    context.judge_refused(subject, got, control, {EACCES, ENOENT});
  }
}

void check_filter(Context& context) {
  if (!has_filter(context.plan()))
    return context.add("docker", Verdict::absent, "the profile has no filter of it");
  const Outcome control = context.inside("http", {std::string(docker::kSocket), "GET", "/_ping"});
  context.add("the engine answers",
              control.done()                           ? Verdict::pass
              : control.kind == Outcome::Kind::not_run ? Verdict::not_run
                                                       : Verdict::fail,
              control.text());
  for (const Attempt& one : kContainers) {
    const std::string body = R"({"Image":"dirbox-verify",)" + std::string(one.body) + "}";
    attempt(context, one.subject, {"POST", "/v1.41/containers/create", body}, control);
  }
  for (const Attempt& one : kRequests) {
    Words request{one.method, one.target};
    if (*one.body != '\0') request.emplace_back(one.body);
    attempt(context, one.subject, request, control);
  }
}

constexpr Row kRows[] = {
    {"docker.filter", "no container gets more than the sandbox has", "docker filter", check_filter},
};

}  // namespace

std::span<const Row> docker_rows() { return kRows; }

}  // namespace dirbox::verify
