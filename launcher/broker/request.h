#pragma once
#include <string>
#include <vector>

#include "launcher/base/unix_socket.h"
#include "launcher/broker/protocol.h"

/// Checks on what came with an EXEC message. I/O on descriptors only where it cannot block.
namespace dirbox::broker {

/// An EXEC message with its descriptors sorted out, which stay the message's. `request` views into
/// `storage`.
struct Received {
  std::vector<std::byte> storage;
  ExecRequest request;
  int stdio[3] = {-1, -1, -1};
  int cwd = -1;
};
/// Errors: not an EXEC, the wrong number of descriptors, stdio that is O_PATH or no character
/// device, FIFO, regular file or socket, a malformed body.
Result<Received> take_request(Message& message);

/// Opens the host directory `path` (O_PATH) without following symlinks, and makes sure that it is
/// the one that `seen_inside` refers to. A symlink could lead to where the sandbox sees nothing,
/// and what is found there would tell it by the error.
Result<UniqueFd> open_same_directory(const std::string& path, int seen_inside);

}  // namespace dirbox::broker
