#pragma once
#include "launcher/broker/docker/rebuild.h"

namespace dirbox::docker {

/// HostConfig of POST /containers/create; null for none. Leaves in `context` the mounts and
/// which network it will be.
Result<Json> rebuild_host_config(const Json& body, BodyContext& context);

}  // namespace dirbox::docker
