#pragma once
#include <string>
#include <vector>

#include "launcher/base/unix_socket.h"
#include "launcher/broker/protocol.h"

/// Checks on what came with an EXEC message. I/O on descriptors only where it cannot block.
namespace dirbox::broker {

/// An EXEC message with its descriptors sorted out. `request` views into `storage`.
struct Received {
  std::vector<std::byte> storage;
  ExecRequest request;
  UniqueFd stdio[3];
  UniqueFd cwd;
};
/// Errors: not an EXEC, the wrong number of descriptors, stdio that is O_PATH or no character
/// device, FIFO, regular file or socket, a malformed body.
Result<Received> take_request(Message message);

/// Opens the host directory `path` (O_PATH) without following links, since those in a shared
/// directory lead where the sandbox wants, and makes sure that it is the one that `seen_inside`
/// refers to. What getcwd(2) tells has none.
Result<UniqueFd> open_same_directory(const std::string& path, int seen_inside);

}  // namespace dirbox::broker
