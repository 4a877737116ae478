#pragma once
#include <string>
#include <vector>

#include "launcher/broker/docker/rebuild.h"

/// Whose a container is. Pure.
namespace dirbox::docker {

/// What matters of the engine's answer to GET /containers/{id}/json.
struct Container {
  std::string id;                      ///< 64 hexadecimal digits
  std::vector<const BindRoot*> roots;  ///< mounted
  bool hidden_masks = false;           ///< something beneath a mount is hidden from the sandbox
  /// Why this sandbox may not run anything in it, although it is its project's: it was made under a
  /// profile that permitted more. Empty: it may.
  std::string excess;
};

/// ENOENT for a container that the filter of this project did not make, in the engine's words, so
/// that it cannot be told from one that is not there.
///
/// The label alone proves nothing: an image that was built inside can carry it into a container
/// that somebody else starts from it. So what the filter forces must be there too.
Result<Container> check_container(const Json& inspected, const std::string& name,
                                  const FilterSpec& spec, const EngineFacts& engine);

/// "No such container: NAME", as the engine says it.
Failure refuse_container(std::string_view name);

}  // namespace dirbox::docker
