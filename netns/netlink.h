#pragma once
#include <netinet/in.h>

#include <cstdint>
#include <span>

#include "launcher/base/result.h"

/// The two rtnetlink(7) requests that a sandbox's network namespace needs. The caller holds
/// CAP_NET_ADMIN over the namespace.
namespace dirbox::netns {

/// Sets lo up; the kernel then gives it 127.0.0.1/8 and ::1.
Result<void> apply_loopback_up();

/// An "AnyIP" route: `local ADDRESS/length dev lo`, so that every address of the prefix counts as
/// this namespace's own and reaches a wildcard listener; with kLocalCongestionControl. `address`: 4
/// or 16 bytes, network order. A route that exists already is no error.
Result<void> apply_local_route(std::span<const std::uint8_t> address, unsigned length);

}  // namespace dirbox::netns
