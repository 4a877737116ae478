#include "launcher/broker/docker/host_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "launcher/base/text.h"
#include "launcher/broker/docker/bodies.h"
#include "launcher/broker/docker/mounts.h"
#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

std::string shown(std::string_view text) { return escape_for_terminal(text.substr(0, 128)); }

/// `asked` where it is within 1 and the limit, the limit where nothing was asked for.
Result<std::uint64_t> limit_of(const Json& value, const Amount& most, std::string_view what) {
  if (is_nothing(value)) return most.value;
  const std::int64_t* asked = value.as_int();
  if (asked == nullptr) return refuse_form(fmt::format("{} has another type", what));
  if (*asked < 0 || static_cast<std::uint64_t>(*asked) > most.value) {
    return refuse(fmt::format("{} {} is more than {} permits", what,
                              *asked < 0 ? "without limit" : std::to_string(*asked), most.rule),
                  fmt::format("the most is {}", most.value));
  }
  return static_cast<std::uint64_t>(*asked);
}

Result<void> take_memory(const Json& value, BodyContext& context, Json& out) {
  out.set("Memory", TRY(limit_of(value, context.spec.memory, "memory")));
  return {};
}
Result<void> take_memory_swap(const Json& value, BodyContext& context, Json& out) {
  out.set("MemorySwap", TRY(limit_of(value, context.spec.memory, "memory with swap")));
  return {};
}
Result<void> take_reservation(const Json& value, BodyContext& context, Json& out) {
  if (!is_nothing(value))
    out.set("MemoryReservation", TRY(limit_of(value, context.spec.memory, "memory reservation")));
  return {};
}
Result<void> take_cpus(const Json& value, BodyContext& context, Json& out) {
  // Without a word the profile's, as far as the machine has them: see force_limits().
  if (is_nothing(value)) return {};
  out.set("NanoCpus", TRY(limit_of(value, context.spec.cpus, "cpus (in 10^-9)")));
  return {};
}
Result<void> take_pids(const Json& value, BodyContext& context, Json& out) {
  bool unlimited = value.as_int() != nullptr && *value.as_int() == -1;
  out.set("PidsLimit", TRY(limit_of(unlimited ? Json() : value, context.spec.pids, "pids")));
  return {};
}
Result<void> take_shm(const Json& value, BodyContext& context, Json& out) {
  if (!is_nothing(value)) out.set("ShmSize", TRY(limit_of(value, context.spec.shm, "/dev/shm")));
  return {};
}

Result<void> take_oom_score(const Json& value, BodyContext&, Json& out) {
  const std::int64_t* score = value.as_int();
  if (is_nothing(value)) return {};
  if (score == nullptr || *score < 0 || *score > 1000)
    return refuse("HostConfig.OomScoreAdj below 0 is refused");
  out.set("OomScoreAdj", *score);
  return {};
}

Result<void> take_swappiness(const Json& value, BodyContext&, Json&) {
  if (is_nothing(value) || (value.as_int() != nullptr && *value.as_int() == -1)) return {};
  return refuse("HostConfig.MemorySwappiness is refused");
}

Result<void> take_binds(const Json& value, BodyContext& context, Json&) {
  if (value.is_null()) return {};
  const JsonArray* list = value.as_array();
  if (list == nullptr) return refuse_form("HostConfig.Binds has another type");
  for (const Json& item : *list) {
    if (item.as_string() == nullptr) return refuse_form("HostConfig.Binds has another type");
    TRY_VOID(add_bind(*item.as_string(), context));
  }
  return {};
}

Result<void> take_mounts(const Json& value, BodyContext& context, Json&) {
  if (value.is_null()) return {};
  const JsonArray* list = value.as_array();
  if (list == nullptr) return refuse_form("HostConfig.Mounts has another type");
  for (const Json& item : *list) TRY_VOID(add_mount(item, context));
  return {};
}

Result<void> take_tmpfs(const Json& value, BodyContext& context, Json&) {
  if (value.is_null()) return {};
  const JsonObject* map = value.as_object();
  if (map == nullptr) return refuse_form("HostConfig.Tmpfs has another type");
  for (const auto& [target, options] : *map) {
    if (options.as_string() == nullptr) return refuse_form("HostConfig.Tmpfs has another type");
    TRY_VOID(add_tmpfs(target, *options.as_string(), context));
  }
  return {};
}

Result<void> take_network(const Json& value, BodyContext& context, Json&) {
  const std::string* mode = value.as_string();
  if (mode == nullptr && !value.is_null())
    return refuse_form("HostConfig.NetworkMode has another type");
  context.network_mode = TRY(check_network(context.spec, mode != nullptr ? *mode : ""));
  return {};
}

Result<void> take_restart(const Json& value, BodyContext&, Json&) {
  std::string name = text_at(value, "Name");
  if (name.empty() || name == "no") return {};
  return refuse(fmt::format("the restart policy {} is refused: the container would outlive its "
                            "project's session",
                            shown(name)),
                "use --restart no");
}

Result<void> take_ports(const Json& value, BodyContext&, Json&) {
  const JsonObject* map = value.as_object();
  if (map == nullptr && !value.is_null())
    return refuse_form("HostConfig.PortBindings has another type");
  if (map == nullptr || map->empty()) return {};
  return refuse("published ports are refused: they open the host's addresses",
                "containers of one network reach each other without");
}

/// Where a value other than these makes no sense or gives away the host.
template <const char* Key, const char* A, const char* B>
Result<void> take_mode(const Json& value, BodyContext&, Json& out) {
  const std::string* mode = value.as_string();
  if (is_nothing(value)) return {};
  if (mode == nullptr || (*mode != A && *mode != B)) {
    return refuse(fmt::format("HostConfig.{} {} is refused", Key,
                              mode != nullptr ? shown(*mode) : "of another type"));
  }
  out.set(Key, *mode);
  return {};
}
constexpr char kIpc[] = "IpcMode", kCgroupns[] = "CgroupnsMode", kPrivate[] = "private",
               kNone[] = "none", kIsolation[] = "Isolation", kDefault[] = "default";

Result<void> take_security(const Json& value, BodyContext&, Json&) {
  if (is_nothing(value)) return {};
  const JsonArray* list = value.as_array();
  if (list == nullptr) return refuse_form("HostConfig.SecurityOpt has another type");
  for (const Json& item : *list) {
    const std::string* option = item.as_string();
    if (option != nullptr &&
        (*option == "no-new-privileges" || *option == "no-new-privileges:true" ||
         *option == "no-new-privileges=true"))
      continue;
    return refuse(fmt::format("the security option {} is refused",
                              option != nullptr ? shown(*option) : "of another type"));
  }
  return {};
}

Result<void> take_cap_add(const Json& value, BodyContext& context, Json&) {
  if (is_nothing(value)) return {};
  const JsonArray* list = value.as_array();
  if (list == nullptr) return refuse_form("HostConfig.CapAdd has another type");
  for (const Json& item : *list) {
    std::string name = item.as_string() != nullptr ? *item.as_string() : "";
    if (name.starts_with("CAP_")) name.erase(0, 4);
    const auto& permitted = context.spec.capabilities.values;
    if (std::find(permitted.begin(), permitted.end(), name) == permitted.end()) {
      return refuse(fmt::format("the capability {} is none of {}", shown(name),
                                context.spec.capabilities.rule));
    }
  }
  return {};
}

constexpr std::string_view kMaxLog = "10m";
constexpr std::int64_t kMaxLogBytes = 10'000'000;
constexpr std::int64_t kMaxLogFiles = 5;

/// A number with the engine's "k" or "m" behind it, which are powers of 1000; negative for another
/// form.
std::int64_t log_size(std::string_view text) {
  std::int64_t number = -1, unit = 1;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
  if (text == "k") unit = 1000;
  if (text == "m") unit = 1'000'000;
  if (read.ec != std::errc() || number > kMaxLogBytes || (!text.empty() && unit == 1)) return -1;
  return number * unit;
}

Result<void> check_log_option(const std::string& key, const std::string& text) {
  const std::int64_t number = log_size(text);
  if (key == "max-size" && (number < 1 || number > kMaxLogBytes))
    return refuse(fmt::format("a log of {} is refused", shown(text)),
                  fmt::format("max-size={} at most", kMaxLog));
  if (key == "max-file" && (number < 1 || number > kMaxLogFiles))
    return refuse(fmt::format("{} log files are refused", shown(text)),
                  fmt::format("max-file={} at most", kMaxLogFiles));
  return {};
}

Result<void> take_log(const Json& value, BodyContext& context, Json& out) {
  std::string type = text_at(value, "Type");
  if (!type.empty() && type != "json-file" && type != "local") {
    return refuse(fmt::format("the log driver {} is refused: it writes elsewhere", shown(type)),
                  "json-file and local are permitted");
  }
  const Json* config = value.find("Config");
  Json kept = JsonObject{};
  if (config != nullptr && config->as_object() != nullptr) {
    for (const auto& [key, option] : *config->as_object()) {
      if (key != "max-size" && key != "max-file")
        return refuse(fmt::format("the log option {} is refused", shown(key)));
      if (option.as_string() == nullptr) return refuse_form("HostConfig.LogConfig");
      TRY_VOID(check_log_option(key, *option.as_string()));
      kept.set(key, option);
    }
  }
  if (type.empty() && kept.as_object()->empty()) return {};
  if (kept.find("max-size") == nullptr && !context.engine.podman) kept.set("max-size", kMaxLog);
  out.set("LogConfig", JsonObject{{"Type", type}, {"Config", std::move(kept)}});
  return {};
}

constexpr std::string_view kNoHost = "the container would not be isolated from the host";

// clang-format off
constexpr Field kFields[] = {
    // mounts
    {"Binds", Shape::rule, take_binds},
    {"Mounts", Shape::rule, take_mounts},
    {"Tmpfs", Shape::rule, take_tmpfs},
    {"VolumesFrom", Shape::nothing, nullptr, "mount the same paths instead"},
    {"VolumeDriver", Shape::nothing},
    {"ReadonlyRootfs", Shape::flag},
    {"StorageOpt", Shape::nothing},
    // networks
    {"NetworkMode", Shape::rule, take_network},
    {"PortBindings", Shape::rule, take_ports},
    {"PublishAllPorts", Shape::nothing, nullptr, "published ports open the host's addresses"},
    {"Links", Shape::nothing, nullptr, "put the containers on one network"},
    {"Dns", Shape::nothing}, {"DnsOptions", Shape::nothing}, {"DnsSearch", Shape::nothing},
    {"ExtraHosts", Shape::nothing},
    // limits
    {"Memory", Shape::rule, take_memory},
    {"MemorySwap", Shape::rule, take_memory_swap},
    {"MemoryReservation", Shape::rule, take_reservation},
    {"MemorySwappiness", Shape::rule, take_swappiness},
    {"NanoCpus", Shape::rule, take_cpus},
    {"CpuShares", Shape::count},
    {"CpuPeriod", Shape::nothing, nullptr, "use --cpus"}, {"CpuQuota", Shape::nothing, nullptr, "use --cpus"},
    {"PidsLimit", Shape::rule, take_pids},
    {"ShmSize", Shape::rule, take_shm},
    {"OomScoreAdj", Shape::rule, take_oom_score},
    {"OomKillDisable", Shape::nothing},
    {"Ulimits", Shape::nothing}, {"BlkioWeight", Shape::nothing},
    // privileges
    {"Privileged", Shape::nothing, nullptr, kNoHost},
    {"CapAdd", Shape::rule, take_cap_add},
    {"CapDrop", Shape::dropped},
    {"SecurityOpt", Shape::rule, take_security},
    {"MaskedPaths", Shape::null_only, nullptr, kNoHost}, {"ReadonlyPaths", Shape::null_only, nullptr, kNoHost},
    {"Devices", Shape::nothing, nullptr, kNoHost}, {"DeviceRequests", Shape::nothing, nullptr, kNoHost},
    {"DeviceCgroupRules", Shape::nothing, nullptr, kNoHost},
    {"GroupAdd", Shape::nothing}, {"Sysctls", Shape::nothing},
    {"PidMode", Shape::nothing, nullptr, kNoHost}, {"UTSMode", Shape::nothing, nullptr, kNoHost},
    {"UsernsMode", Shape::nothing, nullptr, kNoHost},
    {"IpcMode", Shape::rule, take_mode<kIpc, kPrivate, kNone>},
    {"CgroupnsMode", Shape::rule, take_mode<kCgroupns, kPrivate, kPrivate>},
    {"Cgroup", Shape::nothing}, {"CgroupParent", Shape::nothing, nullptr, "its limits would be others'"},
    {"Runtime", Shape::nothing},
    {"Isolation", Shape::rule, take_mode<kIsolation, kDefault, kDefault>},
    // the rest
    {"RestartPolicy", Shape::rule, take_restart},
    {"AutoRemove", Shape::flag},
    {"Init", Shape::flag},
    {"LogConfig", Shape::rule, take_log},
    {"ConsoleSize", Shape::dropped},
    {"ContainerIDFile", Shape::dropped},  // written by the client
    {"Annotations", Shape::nothing},
};
// clang-format on

void force_limits(Json& config, const FilterSpec& spec, const EngineFacts& engine) {
  if (config.find("Memory") == nullptr) config.set("Memory", spec.memory.value);
  const std::int64_t memory = integer_at(config, "Memory");
  const bool asked = config.find("MemorySwap") != nullptr;
  // No swap beyond what was asked for.
  if (!asked || integer_at(config, "MemorySwap") < memory) config.set("MemorySwap", memory);
  if (config.find("NanoCpus") == nullptr) {
    const std::uint64_t most = spec.cpus.value;
    config.set("NanoCpus", engine.cpus != 0 ? std::min(most, engine.cpus) : most);
  }
  if (config.find("PidsLimit") == nullptr) config.set("PidsLimit", spec.pids.value);
  if (config.find("LogConfig") == nullptr && !engine.podman) {
    config.set("LogConfig",
               JsonObject{{"Type", "json-file"}, {"Config", JsonObject{{"max-size", kMaxLog}}}});
  }
}

}  // namespace

Result<Json> rebuild_host_config(const Json& body, BodyContext& context) {
  Json asked = body.is_null() ? Json(JsonObject{}) : body;
  // "default" counts where nothing was said.
  context.network_mode = TRY(check_network(context.spec, ""));
  Json config = TRY(rebuild(asked, kFields, context, "HostConfig."));
  // Only where swap was asked for does it count without memory.
  const Json* swap = asked.find("MemorySwap");
  if (swap != nullptr && is_nothing(*swap)) {
    JsonObject& members = *config.as_object();
    std::erase_if(members, [](const JsonMember& member) { return member.first == "MemorySwap"; });
  }
  force_limits(config, context.spec, context.engine);
  config.set("NetworkMode", context.network_mode);
  config.set("Binds", context.binds);
  Json tmpfs = JsonObject{};
  for (const auto& [target, options] : context.masks) tmpfs.set(target, options);
  config.set("Tmpfs", std::move(tmpfs));
  config.set("Privileged", false);
  config.set("SecurityOpt", JsonArray{"no-new-privileges"});
  config.set("CapDrop", JsonArray{"ALL"});
  const auto& capabilities = context.spec.capabilities.values;
  config.set("CapAdd", JsonArray(capabilities.begin(), capabilities.end()));
  config.set("RestartPolicy", JsonObject{{"Name", "no"}});
  return config;
}

}  // namespace dirbox::docker
