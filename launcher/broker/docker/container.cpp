#include "launcher/broker/docker/container.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/broker/docker/bodies.h"
#include "launcher/broker/docker/mounts.h"
#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

bool has_text(const Json* list, std::string_view text) {
  const JsonArray* items = list != nullptr ? list->as_array() : nullptr;
  return items != nullptr && std::any_of(items->begin(), items->end(), [&](const Json& item) {
           return item.as_string() != nullptr && *item.as_string() == text;
         });
}

bool is_hex_id(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

/// What force_* of the rebuild puts into every container.
bool looks_filtered(const Json& host, const EngineFacts& engine) {
  if (flag_at(host, "Privileged")) return false;
  for (const char* key : {"PidMode", "UTSMode", "IpcMode", "NetworkMode", "UsernsMode"}) {
    std::string mode = text_at(host, key);
    if (mode == "host" || mode.starts_with("container:")) return false;
  }
  // podman without delegated cgroups has no limits, and lists what CapDrop ALL came to.
  if (!engine.podman && integer_at(host, "PidsLimit") <= 0) return false;
  const Json* dropped = host.find("CapDrop");
  const bool caps = engine.podman ? dropped != nullptr && dropped->as_array() != nullptr &&
                                        !dropped->as_array()->empty()
                                  : has_text(dropped, "ALL");
  return caps && has_text(host.find("SecurityOpt"), "no-new-privileges");
}

bool is_bind(const Json& mount) {
  return text_at(mount, "Type") == "bind" && text_at(mount, "Source") != "/dev/null";
}

/// Whether something of the container's own lies at `path`, as a mask does.
bool is_covered(const Json& host, const JsonArray& mounts, const std::string& path) {
  const Json* tmpfs = host.find("Tmpfs");
  if (tmpfs != nullptr && tmpfs->find(path) != nullptr) return true;
  return std::any_of(mounts.begin(), mounts.end(), [&](const Json& mount) {
    return text_at(mount, "Destination") == path && !is_bind(mount);
  });
}

/// A mount of the engine's list against what the profile permits.
void check_mount(const Json& mount, const Json& host, const JsonArray& mounts,
                 const FilterSpec& spec, Container& out) {
  if (!is_bind(mount)) return;
  const std::string source = text_at(mount, "Source"), target = text_at(mount, "Destination");
  const bool writable = flag_at(mount, "RW");
  auto found = find_bind_root(spec, source);
  if (!found || (writable && !(*found)->writable)) {
    out.excess = fmt::format("it mounts {}, which {} does not permit", escape_for_terminal(source),
                             spec.binds_rule);
    return;
  }
  const BindRoot& root = **found;
  out.roots.push_back(&root);
  for (const Mask& mask : root.masks) {
    const std::string at = path_join(target, mask.path);
    if ((mask.hidden || writable) && !is_covered(host, mounts, at))
      out.excess = fmt::format("nothing covers {} in it, which the profile {}",
                               escape_for_terminal(at), mask.hidden ? "hides" : "protects");
  }
  out.hidden_masks = out.hidden_masks || std::any_of(root.masks.begin(), root.masks.end(),
                                                     [](const Mask& mask) { return mask.hidden; });
}

void check_capabilities(const Json& host, const FilterSpec& spec, Container& out) {
  const Json* added = host.find("CapAdd");
  const JsonArray* list = added != nullptr ? added->as_array() : nullptr;
  if (list == nullptr) return;
  for (const Json& item : *list) {
    std::string name = item.as_string() != nullptr ? *item.as_string() : "?";
    if (name.starts_with("CAP_")) name.erase(0, 4);
    const auto& permitted = spec.capabilities.values;
    if (std::find(permitted.begin(), permitted.end(), name) == permitted.end())
      out.excess = fmt::format("it has the capability {}", escape_for_terminal(name));
  }
}

}  // namespace

Failure refuse_container(std::string_view name) {
  return refuse_unknown(fmt::format("No such container: {}", name));
}

Result<Container> check_container(const Json& inspected, const std::string& name,
                                  const FilterSpec& spec, const EngineFacts& engine) {
  const Json* config = inspected.find("Config");
  const Json* labels = config != nullptr ? config->find("Labels") : nullptr;
  const Json* host = inspected.find("HostConfig");
  Container out;
  out.id = text_at(inspected, "Id");
  if (labels == nullptr || host == nullptr || !is_hex_id(out.id) || spec.project.empty() ||
      text_at(*labels, kProjectLabel) != spec.project || !looks_filtered(*host, engine))
    return refuse_container(name);
  const Json* mounts = inspected.find("Mounts");
  if (mounts != nullptr && mounts->as_array() != nullptr) {
    for (const Json& mount : *mounts->as_array())
      check_mount(mount, *host, *mounts->as_array(), spec, out);
  }
  check_capabilities(*host, spec, out);
  std::string network = text_at(*host, "NetworkMode");
  if (auto permitted = check_network(spec, network); !permitted && !engine.podman)
    out.excess = permitted.error().detail;
  return out;
}

}  // namespace dirbox::docker
