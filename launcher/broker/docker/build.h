#pragma once
#include <string>
#include <vector>

#include "launcher/broker/docker/rebuild.h"
#include "launcher/broker/docker/request.h"

/// `docker build` with the classic builder.
namespace dirbox::docker {

struct BuildQuery {
  std::vector<Parameter> query;   ///< for the engine; "dockerfile" is not in it
  std::string dockerfile;         ///< as the client named it
  std::vector<std::string> tags;  ///< that the image is to get
};
/// Replaces network, limits and labels. The labels come last in the image, so that no Dockerfile
/// can put the project's label into it; the image's own one says who may give its name away.
Result<BuildQuery> rebuild_build(const std::vector<Parameter>& query, const FilterSpec& spec,
                                 const EngineFacts& engine);

}  // namespace dirbox::docker
