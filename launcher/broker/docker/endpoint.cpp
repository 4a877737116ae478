#include "launcher/broker/docker/endpoint.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

using A = Action;
using S = Subject;
using B = Body;

// Source: the Docker Engine API 1.41, and which calls docker(1) and docker-compose(1) make.
// clang-format off
constexpr Endpoint kEndpoints[] = {
  {"HEAD", "_ping", A::ping, S::none, B::none, ""},
  {"GET", "_ping", A::ping, S::none, B::none, ""},
  {"GET", "version", A::forward, S::none, B::none, ""},
  {"GET", "info", A::info, S::none, B::none, ""},
  {"GET", "events", A::events, S::none, B::none, "since=word until=word filters=json"},

  {"GET", "containers/json", A::list, S::none, B::none,
   "all=flag limit=number size=flag trunc_cmd=flag filters=json"},
  {"POST", "containers/create", A::create, S::none, B::json, "name=word platform=never"},
  {"GET", "containers/{id}/json", A::forward, S::container, B::none, "size=flag"},
  {"GET", "containers/{id}/logs", A::forward, S::container, B::none,
   "follow=flag stdout=flag stderr=flag since=word until=word timestamps=flag tail=word details=flag"},
  {"GET", "containers/{id}/stats", A::forward, S::container, B::none, "stream=flag one-shot=flag"},
  {"GET", "containers/{id}/top", A::forward, S::container, B::none, "ps_args=ps"},
  {"GET", "containers/{id}/changes", A::forward, S::container, B::none, ""},
  {"HEAD", "containers/{id}/archive", A::archive_read, S::container, B::none, "path=text"},
  {"GET", "containers/{id}/archive", A::archive_read, S::container, B::none, "path=text"},
  {"PUT", "containers/{id}/archive", A::archive_write, S::container, B::stream,
   "path=text noOverwriteDirNonDir=flag copyUIDGID=flag"},
  {"POST", "containers/{id}/start", A::start, S::container, B::none, "detachKeys=word checkpoint=never checkpoint-dir=never"},
  {"POST", "containers/{id}/restart", A::start, S::container, B::none, "t=number signal=word"},
  {"POST", "containers/{id}/stop", A::forward, S::container, B::none, "t=number signal=word"},
  {"POST", "containers/{id}/kill", A::forward, S::container, B::none, "signal=word"},
  {"POST", "containers/{id}/pause", A::forward, S::container, B::none, ""},
  {"POST", "containers/{id}/unpause", A::forward, S::container, B::none, ""},
  {"POST", "containers/{id}/wait", A::forward, S::container, B::none, "condition=word"},
  {"POST", "containers/{id}/resize", A::forward, S::container, B::none, "h=number w=number"},
  {"POST", "containers/{id}/rename", A::forward, S::container, B::none, "name=word"},
  {"POST", "containers/{id}/attach", A::attach, S::container, B::none,
   "stream=flag stdin=flag stdout=flag stderr=flag logs=flag detachKeys=word"},
  {"DELETE", "containers/{id}", A::forward, S::container, B::none, "v=flag force=flag link=never"},

  {"POST", "containers/{id}/exec", A::exec_create, S::container, B::json, ""},
  {"POST", "exec/{id}/start", A::exec_start, S::exec, B::json, ""},
  {"POST", "exec/{id}/resize", A::forward, S::exec, B::none, "h=number w=number"},
  {"GET", "exec/{id}/json", A::forward, S::exec, B::none, ""},

  {"GET", "images/json", A::images, S::none, B::none,
   "all=flag digests=flag filters=json only_ids=never filter=never shared-size=never manifests=never"},
  {"GET", "images/{name}/json", A::image, S::image, B::none, "manifests=never"},
  {"GET", "images/{name}/history", A::image, S::image, B::none, ""},
  {"GET", "networks", A::networks, S::none, B::none, "filters=json"},
  {"GET", "networks/{id}", A::network, S::network, B::none, "verbose=never scope=word"},

  {"POST", "build", A::build, S::none, B::stream,
   "dockerfile=text t=image networkmode=word buildargs=json labels=json target=word q=flag nocache=flag "
   "rm=flag forcerm=flag memory=number memswap=never cpushares=never shmsize=number version=word "
   "cpuperiod=never cpuquota=never cpusetcpus=never cpusetmems=never cgroupparent=never ulimits=never "
   "cachefrom=never squash=never pull=never extrahosts=never session=buildkit remote=never platform=never "
   "securityopt=never isolation=never compress=never outputs=buildkit buildid=buildkit"},
};

struct Kind {
  std::string_view first, sentence;
  std::size_t size;  ///< segments of the question
};
constexpr Kind kKinds[] = {
  {"containers", "No such container", 3}, {"exec", "No such exec instance", 3},
  {"images", "No such image", 3}, {"networks", "network not found", 2}, {"volumes", "no such volume", 2},
};

/// Refused on purpose, with what to do instead. By the first segments of the path.
struct Closed {
  const char* method;  ///< "": all
  const char* path;
  const char* detail;
  const char* hint;
};
constexpr Closed kClosed[] = {
  {"", "session", kBuildKit, kClassicBuilder},
  {"", "grpc", kBuildKit, kClassicBuilder},
  {"POST", "images/create", "images are not pulled from inside: the engine would reach any host",
   "pull it on the host: docker pull IMAGE"},
  {"POST", "images/load", "images are not loaded from inside", "load it on the host: docker load"},
  {"POST", "build/prune", "the engine's cache is the host's", ""},
  {"", "images", "the host's images are read-only from inside", "use docker on the host"},
  {"POST", "commit", "images are made by docker build alone", ""},
  {"POST", "networks/create", "networks are not made from inside",
   "make it on the host and list it in docker.networks"},
  {"", "networks", "networks are the host's", "make it on the host and list it in docker.networks"},
  {"", "volumes", "named volumes are refused: a volume's options can name any directory of the host",
   "mount the working directory, or give no name: -v /path"},
  {"POST", "containers/prune", "prune would reach other containers", "remove them by name"},
  {"POST", "auth", "registry logins are the host's", "log in on the host: docker login"},
  {"", "swarm", "swarm mode is refused", ""},
  {"", "nodes", "swarm mode is refused", ""},
  {"", "services", "swarm mode is refused", ""},
  {"", "tasks", "swarm mode is refused", ""},
  {"", "secrets", "swarm mode is refused", ""},
  {"", "configs", "swarm mode is refused", ""},
  {"", "plugins", "plugins run on the host", ""},
  {"", "distribution", "registries are not asked from inside", "pull the image on the host"},
  {"", "system", "the engine's own state is the host's", ""},
  {"", "libpod", "podman's own API is not filtered", "use docker(1) and the Docker API"},
};
// clang-format on

bool take_segment(std::string_view& pattern, std::string_view& segment) {
  if (pattern.empty()) return false;
  std::size_t slash = std::min(pattern.find('/'), pattern.size());
  segment = pattern.substr(0, slash);
  pattern.remove_prefix(std::min(slash + 1, pattern.size()));
  return true;
}

/// Literals before placeholders: "containers/json" is no container of that name.
bool matches(std::string_view pattern, const std::vector<std::string>& path, std::string& subject) {
  std::size_t at = 0;
  std::string_view segment;
  subject.clear();
  while (take_segment(pattern, segment)) {
    if (segment == "{name}") {
      // Greedy: a name may have slashes, and one literal follows.
      if (path.size() < at + 2) return false;
      for (; at + 1 < path.size(); ++at) subject += (subject.empty() ? "" : "/") + path[at];
      continue;
    }
    if (at >= path.size()) return false;
    if (segment == "{id}") {
      subject = path[at];
      if (!is_object_name(subject)) return false;
    } else if (segment != path[at]) {
      return false;
    }
    ++at;
  }
  return at == path.size();
}

bool is_closed(const Closed& row, const Request& request) {
  if (*row.method != '\0' && request.method != row.method) return false;
  std::string_view pattern = row.path, segment;
  for (std::size_t at = 0; take_segment(pattern, segment); ++at) {
    if (at >= request.path.size() || request.path[at] != segment) return false;
  }
  return true;
}

bool is_word(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("_.:,+-").find(c) != std::string_view::npos;
  });
}

bool is_flag(std::string_view text) {
  for (std::string_view word : {"", "0", "1", "true", "false", "True", "False"})
    if (text == word) return true;
  return false;
}

bool is_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.size() <= 18 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// dockerd gives ps_args to the host's ps(1): only what a person asks for.
bool is_ps(std::string_view text) {
  for (std::string_view word : {"", "-ef", "aux", "-aux", "-e"})
    if (text == word) return true;
  return false;
}

bool fits_kind(std::string_view kind, std::string_view value) {
  if (kind == "flag") return is_flag(value);
  if (kind == "number") return value.empty() || is_number(value);
  if (kind == "word") return is_word(value) && value.size() <= 255;
  if (kind == "image") return is_image_name(value);
  if (kind == "ps") return is_ps(value);
  return true;
}

/// The kind that `table` has for `key`; empty when it has none.
std::string_view kind_of(std::string_view table, std::string_view key) {
  while (!table.empty()) {
    std::size_t end = std::min(table.find(' '), table.size());
    std::string_view entry = table.substr(0, end);
    table.remove_prefix(std::min(end + 1, table.size()));
    std::size_t equals = entry.find('=');
    if (entry.substr(0, equals) == key) return entry.substr(equals + 1);
  }
  return {};
}

bool is_nothing(std::string_view value) {
  for (std::string_view word : {"", "0", "false", "False", "null", "[]", "{}", "default"})
    if (value == word) return true;
  return false;
}

}  // namespace

bool is_true(std::string_view value) {
  for (std::string_view word : {"1", "true", "True", "TRUE", "t"})
    if (value == word) return true;
  return false;
}

Result<Route> find_route(const Request& request) {
  Route route;
  for (const Endpoint& endpoint : kEndpoints) {
    if (request.method != endpoint.method) continue;
    if (!matches(endpoint.path, request.path, route.subject)) continue;
    route.endpoint = &endpoint;
    return route;
  }
  // `docker inspect X` asks for each kind of object in turn.
  const std::vector<std::string>& path = request.path;
  if (request.method == "GET" && (path.size() == 2 || (path.size() == 3 && path[2] == "json"))) {
    for (const auto& [first, sentence, size] : kKinds) {
      if (path.front() == first && path.size() == size)
        return refuse_unknown(fmt::format("{}: {}", sentence, path[1]));
    }
  }
  for (const Closed& row : kClosed) {
    if (is_closed(row, request)) return refuse(row.detail, row.hint);
  }
  return refuse(fmt::format("{} /{} is not an endpoint that is let through", request.method,
                            request.path_text()),
                "see dirbox-docker(5)");
}

Result<std::vector<Parameter>> check_query(const Endpoint& endpoint, const Request& request) {
  std::vector<Parameter> out;
  for (const Parameter& parameter : request.query) {
    std::string_view kind = kind_of(endpoint.query, parameter.key);
    if (kind.empty()) {
      return refuse(fmt::format("the parameter {} of {} /{} is not let through", parameter.key,
                                request.method, endpoint.path));
    }
    bool repeated = std::any_of(out.begin(), out.end(),
                                [&](const Parameter& p) { return p.key == parameter.key; });
    if (repeated && parameter.key != "t") return refuse_form("a query parameter that comes twice");
    if (kind == "never" || kind == "buildkit") {
      if (is_nothing(parameter.value)) continue;
      if (kind == "buildkit") return refuse_buildkit();
      return refuse(fmt::format("the parameter {} of {} /{} is refused", parameter.key,
                                request.method, endpoint.path));
    }
    if (!fits_kind(kind, parameter.value)) {
      return refuse_form(fmt::format("an unusual value of the parameter {}", parameter.key));
    }
    out.push_back(parameter);
  }
  return out;
}

}  // namespace dirbox::docker
