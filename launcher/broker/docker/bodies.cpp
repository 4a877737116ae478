#include "launcher/broker/docker/bodies.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>

#include "launcher/base/text.h"
#include "launcher/broker/docker/host_config.h"
#include "launcher/broker/docker/mounts.h"
#include "launcher/broker/docker/refusal.h"
#include "launcher/broker/docker/request.h"

namespace dirbox::docker {
namespace {

std::string shown(std::string_view text) { return escape_for_terminal(text.substr(0, 128)); }

Result<void> take_image(const Json& value, BodyContext& context, Json& out) {
  if (value.as_string() == nullptr) return refuse_form("Image has another type");
  TRY_VOID(check_image(context.spec, *value.as_string()));
  out.set("Image", value);
  return {};
}

/// What they begin with by which programs of the host that watch an engine are told what to do.
struct Order {
  std::string_view begin;
  const char* what;
};
constexpr Order kOrders[] = {
    {"io.containers.autoupdate", "podman auto-update takes orders from it"},
    {"PODMAN_SYSTEMD_UNIT", "podman auto-update restarts the unit of that name"},
    {"com.centurylinklabs.watchtower", "watchtower takes orders from it"},
    {"ofelia.", "ofelia runs what it says"},
    {"swarm.cronjob.", "swarm-cronjob runs what it says"},
    {"traefik.", "traefik publishes what it says"},
    {"caddy", "caddy publishes what it says"},
};

Result<void> take_labels(const Json& value, BodyContext&, Json& out) {
  if (value.is_null()) return {};
  const JsonObject* map = value.as_object();
  if (map == nullptr) return refuse_form("Labels has another type");
  for (const auto& [key, text] : *map) {
    TRY_VOID(check_label(key));
    if (text.as_string() == nullptr) return refuse_form("Labels has another type");
  }
  out.set("Labels", value);
  return {};
}

/// A name without a value takes a variable out of the image's with dockerd; podman gives it the
/// value that it has on the host, and "*" is all of them.
Result<void> take_env(const Json& value, BodyContext& context, Json& out) {
  if (value.is_null()) return {};
  const JsonArray* list = value.as_array();
  if (list == nullptr) return refuse_form("Env has another type");
  JsonArray kept;
  for (const Json& item : *list) {
    const std::string* text = item.as_string();
    if (text == nullptr) return refuse_form("Env has another type");
    if (!context.engine.podman || text->find('=') != text->npos) kept.push_back(item);
  }
  out.set("Env", std::move(kept));
  return {};
}

/// {"/data": {}}: anonymous volumes, which the engine keeps itself.
Result<void> take_volumes(const Json& value, BodyContext&, Json& out) {
  if (value.is_null()) return {};
  const JsonObject* map = value.as_object();
  if (map == nullptr) return refuse_form("Volumes has another type");
  Json volumes = JsonObject{};
  for (const auto& member : *map) {
    if (!is_nothing(member.second)) return refuse_form("Volumes has another type");
    volumes.set(TRY(check_target(member.first)), JsonObject{});
  }
  out.set("Volumes", std::move(volumes));
  return {};
}

constexpr Field kHealthFields[] = {
    {"Test", Shape::texts},    {"Interval", Shape::count},    {"Timeout", Shape::count},
    {"Retries", Shape::count}, {"StartPeriod", Shape::count}, {"StartInterval", Shape::count},
};
Result<void> take_health(const Json& value, BodyContext& context, Json& out) {
  if (value.is_null()) return {};
  out.set("Healthcheck", TRY(rebuild(value, kHealthFields, context, "Healthcheck.")));
  return {};
}

constexpr Field kEndpointFields[] = {
    {"Aliases", Shape::texts},
    {"NetworkID", Shape::dropped},
    {"DNSNames", Shape::dropped},
    {"GwPriority", Shape::nothing},
};

constexpr std::string_view kRestHint = "see dirbox-docker(5)";

// clang-format off
constexpr Field kCreateFields[] = {
    {"Hostname", Shape::text}, {"Domainname", Shape::text}, {"User", Shape::text},
    {"AttachStdin", Shape::flag}, {"AttachStdout", Shape::flag}, {"AttachStderr", Shape::flag},
    {"Tty", Shape::flag}, {"OpenStdin", Shape::flag}, {"StdinOnce", Shape::flag},
    {"Env", Shape::rule, take_env}, {"Cmd", Shape::text_or_list}, {"Entrypoint", Shape::text_or_list},
    {"Image", Shape::rule, take_image},
    {"WorkingDir", Shape::text},
    {"Labels", Shape::rule, take_labels},
    {"StopSignal", Shape::text}, {"StopTimeout", Shape::count},
    {"ExposedPorts", Shape::key_map},
    {"Volumes", Shape::rule, take_volumes},
    {"Healthcheck", Shape::rule, take_health},
    {"Shell", Shape::texts},
    {"NetworkDisabled", Shape::flag},
    {"MacAddress", Shape::nothing, nullptr, kRestHint},
    {"OnBuild", Shape::nothing},
    {"ArgsEscaped", Shape::dropped},  // Windows
    // After the others: these two look at what they left.
    {"HostConfig", Shape::dropped},
    {"NetworkingConfig", Shape::dropped},
};
constexpr Field kExecFields[] = {
    {"AttachStdin", Shape::flag}, {"AttachStdout", Shape::flag}, {"AttachStderr", Shape::flag},
    {"Tty", Shape::flag}, {"Cmd", Shape::text_or_list}, {"Env", Shape::rule, take_env},
    {"User", Shape::text}, {"WorkingDir", Shape::text}, {"DetachKeys", Shape::text},
    {"Privileged", Shape::nothing, nullptr, "the command would have every capability"},
    {"Detach", Shape::dropped}, {"ConsoleSize", Shape::dropped}, {"Container", Shape::dropped},
};
constexpr Field kExecStartFields[] = {
    {"Detach", Shape::flag}, {"Tty", Shape::flag}, {"ConsoleSize", Shape::dropped},
};
// clang-format on

/// Only aliases, and only on the network that HostConfig.NetworkMode became.
Result<Json> rebuild_networking(const Json* asked, BodyContext& context) {
  Json endpoints = JsonObject{};
  const Json* configs = asked != nullptr ? asked->find("EndpointsConfig") : nullptr;
  const JsonObject* map = configs != nullptr ? configs->as_object() : nullptr;
  if (map != nullptr) {
    for (const auto& [name, value] : *map) {
      std::string network = TRY(check_network(context.spec, name));
      Json fields = TRY(rebuild(value, kEndpointFields, context, "EndpointsConfig."));
      if (network != "none") endpoints.set(network, std::move(fields));
    }
  }
  return Json(JsonObject{{"EndpointsConfig", std::move(endpoints)}});
}

std::string caller_user(const FilterSpec& spec) { return fmt::format("{}:{}", spec.uid, spec.gid); }

}  // namespace

Result<void> check_label(std::string_view key) {
  if (key.starts_with(kLabelPrefix))
    return refuse(fmt::format("the label {} is dirbox's own", shown(key)));
  for (const Order& order : kOrders) {
    if (key.starts_with(order.begin))
      return refuse(fmt::format("the label {} is refused: {}", shown(key), order.what));
  }
  return {};
}

Result<void> check_image(const FilterSpec& spec, std::string_view reference) {
  std::string text(reference);
  if (!is_image_name(text)) return refuse_form("an unusual name of an image");
  for (const std::string& pattern : spec.images.values)
    if (::fnmatch(pattern.c_str(), text.c_str(), 0) == 0) return {};
  return refuse(fmt::format("the image {} matches none of {}", shown(text), spec.images.rule));
}

Result<std::string> check_network(const FilterSpec& spec, std::string_view name) {
  const std::vector<std::string>& permitted = spec.networks.values;
  if (permitted.empty()) return refuse(fmt::format("{} permits no network", spec.networks.rule));
  if (name.empty() || name == "default") return permitted.front();
  if (std::find(permitted.begin(), permitted.end(), name) != permitted.end())
    return std::string(name);
  return refuse(fmt::format("the network {} is none of {}", shown(name), spec.networks.rule),
                fmt::format("permitted: {}", fmt::join(permitted, ", ")));
}

Result<CreateBody> rebuild_create(const Json& body, const FilterSpec& spec,
                                  const EngineFacts& engine) {
  BodyContext context{spec, engine};
  CreateBody out;
  out.body = TRY(rebuild(body, kCreateFields, context, ""));
  if (out.body.find("Image") == nullptr) return refuse_form("Image is missing");
  const Json* host = body.find("HostConfig");
  out.body.set("HostConfig", TRY(rebuild_host_config(host != nullptr ? *host : Json(), context)));
  out.body.set("NetworkingConfig", TRY(rebuild_networking(body.find("NetworkingConfig"), context)));
  const Json* given = out.body.find("Labels");
  Json labels = given != nullptr ? *given : Json(JsonObject{});
  labels.set(kProjectLabel, spec.project);
  out.body.set("Labels", std::move(labels));
  for (const BindRoot& root : spec.binds) {
    bool used = std::any_of(context.binds.begin(), context.binds.end(), [&](const Json& bind) {
      return bind.as_string()->starts_with(root.path + ":");
    });
    if (used) out.roots.push_back(&root);
  }
  if (!out.roots.empty() && !engine.rootless) out.body.set("User", caller_user(spec));
  return out;
}

Result<Json> rebuild_exec(const Json& body, const FilterSpec& spec, const EngineFacts& engine,
                          bool force_user) {
  BodyContext context{spec, engine};
  Json out = TRY(rebuild(body, kExecFields, context, "exec: "));
  out.set("Privileged", false);
  if (force_user && !engine.rootless) out.set("User", caller_user(spec));
  return out;
}

Result<Json> rebuild_exec_start(const Json& body, const FilterSpec& spec,
                                const EngineFacts& engine) {
  BodyContext context{spec, engine};
  return rebuild(body, kExecStartFields, context, "exec: ");
}

Result<std::string> add_filter(std::string_view filters, std::string_view key,
                               const std::string& value, std::string_view replaced) {
  Json given = TRY(parse_body(filters));
  Json out = JsonObject{};
  for (const auto& [name, values] : *given.as_object()) {
    if (name == replaced) continue;
    Json kept = JsonObject{};
    if (const JsonArray* list = values.as_array()) {
      for (const Json& item : *list) {
        if (item.as_string() == nullptr) return refuse_form("filters have another type");
        kept.set(*item.as_string(), true);
      }
    } else if (const JsonObject* map = values.as_object()) {
      for (const auto& member : *map) kept.set(member.first, true);
    } else if (!values.is_null()) {
      return refuse_form("filters have another type");
    }
    out.set(name, std::move(kept));
  }
  const Json* same = out.find(key);
  Json all = same != nullptr ? *same : Json(JsonObject{});
  all.set(value, true);
  out.set(key, std::move(all));
  return out.dump();
}

}  // namespace dirbox::docker
