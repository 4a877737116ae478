#pragma once
#include "launcher/broker/docker/rebuild.h"

/// What of an engine's answer the client gets to see. Pure. An answer of another shape than
/// expected is shown empty.
namespace dirbox::docker {

/// Of an answer to GET /containers/json, the names of the project's containers that have a path of
/// the host mounted writable, with ", " between them.
std::string names_of_writers(Json list, const FilterSpec& spec);
/// GET /containers/json: the project's containers, whatever the engine made of the filter.
Json keep_own_containers(Json list, const FilterSpec& spec);
/// GET /images/json: images with a name that the profile permits.
Json keep_permitted_images(Json list, const FilterSpec& spec);
/// GET /networks: permitted ones, without the containers on them.
Json keep_permitted_networks(Json list, const FilterSpec& spec);
/// GET /networks/{id}
Json without_containers(Json network);
/// GET /info: what a client needs to work, not what else the host has.
Json reduce_info(const Json& info);

}  // namespace dirbox::docker
