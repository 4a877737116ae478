#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "netns/http1_body.h"

/// One end of a connection, for a thread of its own: blocking calls on a non-blocking socket.
namespace dirbox::docker {

inline constexpr std::size_t kPiece = 64 * 1024;

class Stream {
 public:
  using Time = std::chrono::milliseconds;
  static constexpr Time kForever{-1};

  explicit Stream(UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  /// What was read and not taken yet.
  std::string_view buffered() const { return buffer_; }
  void take(std::size_t size) { buffer_.erase(0, size); }

  /// Reads once what is there, waiting at most `patience`. False at the end of the stream;
  /// ETIMEDOUT.
  Result<bool> fill(Time patience);
  /// Writes all of it. EPIPE when the peer has closed, ETIMEDOUT.
  Result<void> write(std::string_view bytes, Time patience = kForever);
  void shut_writing();

  /// A head with its empty line, taken from the stream. "" at its end. Errors as HttpHeadScanner.
  Result<std::string> read_head(Time patience);
  /// The whole body; EMSGSIZE beyond `most`.
  Result<std::string> read_body(const netns::BodyFraming& framing, std::size_t most, Time patience);

 private:
  UniqueFd socket_;
  std::string buffer_;
};

/// Moves bytes both ways until the engine has ended its side. The client's end of stream is passed
/// on, and what the engine still says is brought back. Errors mean that one of them is gone.
Result<void> run_tunnel(Stream& client, Stream& engine);

/// Answered and done with: lets the client read the answer although it may still be writing.
/// Closing with unread input would make its write fail before it looks (RFC 9112 9.6).
void say_goodbye(Stream& client);

}  // namespace dirbox::docker
