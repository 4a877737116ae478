#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/broker/docker/rebuild.h"

/// What is sent in place of the client's bodies. Pure.
namespace dirbox::docker {

struct CreateBody {
  Json body;
  std::vector<const BindRoot*> roots;  ///< to be looked at before it is sent
};
/// POST /containers/create. Every container gets the project's label, no-new-privileges, no
/// capability but those of the profile, and limits; with a mount and an engine that runs as root
/// also the caller's uid, since root in a mount is root on the host.
Result<CreateBody> rebuild_create(const Json& body, const FilterSpec& spec,
                                  const EngineFacts& engine);

/// POST /containers/{id}/exec. `force_user`: the container has a mount (see above).
Result<Json> rebuild_exec(const Json& body, const FilterSpec& spec, const EngineFacts& engine,
                          bool force_user);
/// POST /exec/{id}/start.
Result<Json> rebuild_exec_start(const Json& body, const FilterSpec& spec,
                                const EngineFacts& engine);

/// EPERM for a label of dirbox's own, and for one by which a program of the host that watches the
/// engine is told what to do.
Result<void> check_label(std::string_view key);
/// Whether the profile permits the image `reference`; EPERM names the rule.
Result<void> check_image(const FilterSpec& spec, std::string_view reference);
/// The network that `name` means ("default" and "" are the first one permitted).
Result<std::string> check_network(const FilterSpec& spec, std::string_view name);

/// {"label": {"a": true}} or {"label": ["a"]}, as text, with `key` limited to `value` in addition.
/// Values that the client gave for `replaced` are dropped.
Result<std::string> add_filter(std::string_view filters, std::string_view key,
                               const std::string& value, std::string_view replaced = {});
inline std::string project_label(const FilterSpec& spec) {
  return std::string(kProjectLabel) + "=" + spec.project;
}

}  // namespace dirbox::docker
