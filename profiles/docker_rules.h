#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "profiles/text_rules.h"

/// What the texts of [docker] may be.
namespace dirbox::profiles {

/// "1.5" -> 1'500'000'000 in units of 10^-9 CPUs; nullopt when malformed, 0 or above 1024.
std::optional<std::uint64_t> parse_cpus(std::string_view text);

std::optional<Complaint> check_docker_cpus(std::string_view text);
/// A name that is not the host's network or another container's.
std::optional<Complaint> check_docker_network(std::string_view text);
std::optional<Complaint> check_docker_image(std::string_view text);
/// One of those with which root in a container still is nobody outside.
std::optional<Complaint> check_docker_capability(std::string_view text);

}  // namespace dirbox::profiles
