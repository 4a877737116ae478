#pragma once
#include <array>
#include <cstdint>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// Sockets made inside the sandbox's network namespace while it runs. The proxy asks over a
/// SOCK_SEQPACKET pair; the sandbox's init, which holds no capability by then, makes the socket and
/// passes it back. Each request and reply is one fixed-size datagram.
///
/// init trusts the proxy with nothing: it makes only listeners on a fake address with a port of
/// 1024 or more, and connections to the namespace's own loopback.
namespace dirbox::netns {

enum class SocketVerb : std::uint8_t { listen = 1, connect = 2 };

struct SocketRequest {
  std::uint32_t id = 0;  ///< returned in the reply
  SocketVerb verb{};
  std::uint8_t family = 0;  ///< 4 or 6
  std::uint16_t port = 0;
  std::array<std::uint8_t, 16> address{};  ///< first 4 bytes for family 4
};

struct SocketReply {
  std::uint32_t id = 0;
  std::int32_t err = 0;  ///< errno; 0 with a descriptor
};

/// init's side: answers the one request that is readable on `channel`. False when the proxy is
/// gone. A malformed request is answered with EINVAL; a failing channel is an error.
Result<bool> serve_socket_request(int channel);

/// The socket for a request, as init makes it; the error's errno goes into the reply. A connection
/// is non-blocking and may be in progress.
Result<UniqueFd> make_requested_socket(const SocketRequest& request);

/// 198.18.0.0/15 (RFC 2544): the addresses that stand for names.
constexpr std::uint32_t kFakeNetwork = 0xc6120000;
constexpr unsigned kFakePrefixLength = 15;
constexpr bool is_fake_address(std::uint32_t host_order) {
  return (host_order & 0xfffe0000) == kFakeNetwork;
}

}  // namespace dirbox::netns
