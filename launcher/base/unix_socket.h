#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// Messages with descriptors over AF_UNIX SOCK_SEQPACKET.
namespace dirbox {

struct SocketPair {
  UniqueFd ours, theirs;
};
/// Connected SEQPACKET pair, both ends close-on-exec.
Result<SocketPair> make_socket_pair();

/// A listening socket of `type` (SOCK_STREAM or SOCK_SEQPACKET, with flags) bound at `path` in the
/// mount namespace of the caller, mode 0600, close-on-exec. EADDRINUSE where something is there.
Result<UniqueFd> make_unix_listener(const std::string& path, int type);

struct Message {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> fds;
  bool end = false;  ///< the peer closed
};

/// Sends one datagram with up to 8 descriptors; MSG_NOSIGNAL. Fails with EAGAIN on a full
/// non-blocking socket.
Result<void> send_message(int socket, std::span<const std::byte> bytes,
                          std::span<const int> fds = {});

/// Receives one datagram of at most `max_bytes` and `max_fds` (≤ 8). A truncated message, or one
/// with more descriptors, is an error: its descriptors are closed, or given to `surplus`.
Result<Message> receive_message(int socket, std::size_t max_bytes, std::size_t max_fds,
                                std::vector<UniqueFd>* surplus = nullptr);

/// Trivially copyable struct as bytes.
template <class T>
std::span<const std::byte> as_bytes_of(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace dirbox
