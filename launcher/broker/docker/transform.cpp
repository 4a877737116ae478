#include "launcher/broker/docker/transform.h"

#include <algorithm>

#include "launcher/broker/docker/bodies.h"

namespace dirbox::docker {
namespace {

template <class Keep>
Json keep_if(Json list, Keep keep) {
  JsonArray* items = list.as_array();
  if (items == nullptr) return JsonArray{};
  std::erase_if(*items, [&keep](const Json& item) { return !keep(item); });
  return list;
}

constexpr std::string_view kInfo[] = {
    "OSType",       "Architecture",  "NCPU",           "MemTotal",       "ServerVersion",
    "CgroupDriver", "CgroupVersion", "Driver",         "DefaultRuntime", "SecurityOptions",
    "MemoryLimit",  "SwapLimit",     "CpuCfsPeriod",   "CpuCfsQuota",    "CPUShares",
    "CPUSet",       "PidsLimit",     "OomKillDisable", "IPv4Forwarding", "LoggingDriver",
    "Rootless",
};

}  // namespace

Json keep_own_containers(Json list, const FilterSpec& spec) {
  return keep_if(std::move(list), [&spec](const Json& item) {
    const Json* labels = item.find("Labels");
    return labels != nullptr && !spec.project.empty() &&
           text_at(*labels, kProjectLabel) == spec.project;
  });
}

std::string names_of_writers(Json list, const FilterSpec& spec) {
  std::string out;
  const Json own = keep_own_containers(std::move(list), spec);
  for (const Json& container : *own.as_array()) {
    const Json* mounts = container.find("Mounts");
    const JsonArray* items = mounts != nullptr ? mounts->as_array() : nullptr;
    const bool writes = items != nullptr && std::any_of(items->begin(), items->end(), [](auto& m) {
                          return text_at(m, "Type") == "bind" && flag_at(m, "RW");
                        });
    if (!writes) continue;
    const Json* names = container.find("Names");
    const JsonArray* list_of = names != nullptr ? names->as_array() : nullptr;
    const std::string* first =
        list_of != nullptr && !list_of->empty() ? list_of->front().as_string() : nullptr;
    std::string name = first != nullptr ? *first : text_at(container, "Id").substr(0, 12);
    if (name.starts_with('/')) name.erase(0, 1);
    out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

Json keep_permitted_images(Json list, const FilterSpec& spec) {
  const auto& patterns = spec.images.values;
  if (std::find(patterns.begin(), patterns.end(), "*") != patterns.end()) {
    return list.as_array() != nullptr ? list : Json(JsonArray{});
  }
  return keep_if(std::move(list), [&spec](const Json& item) {
    const Json* tags = item.find("RepoTags");
    const JsonArray* names = tags != nullptr ? tags->as_array() : nullptr;
    return names != nullptr && std::any_of(names->begin(), names->end(), [&](const Json& name) {
             return name.as_string() != nullptr && check_image(spec, *name.as_string());
           });
  });
}

Json without_containers(Json network) {
  if (network.as_object() == nullptr) return JsonObject{};
  network.set("Containers", JsonObject{});
  return network;
}

Json keep_permitted_networks(Json list, const FilterSpec& spec) {
  Json kept = keep_if(std::move(list), [&spec](const Json& item) {
    std::string name = text_at(item, "Name");
    return !name.empty() && check_network(spec, name);
  });
  for (Json& network : *kept.as_array()) network = without_containers(std::move(network));
  return kept;
}

Json reduce_info(const Json& info) {
  Json out = JsonObject{{"Name", "dirbox"}};
  for (std::string_view key : kInfo) {
    if (const Json* value = info.find(key)) out.set(key, *value);
  }
  // Clients look for these without asking whether they are there.
  out.set("Swarm", JsonObject{{"LocalNodeState", "inactive"}});
  out.set("Plugins", JsonObject{});
  out.set("RegistryConfig", JsonObject{});
  return out;
}

}  // namespace dirbox::docker
