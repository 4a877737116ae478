#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "netns/http1.h"

/// Message bodies: where they end, and what is in them. Nothing is stored.
namespace dirbox::netns {

inline constexpr std::size_t kHttpMaxChunkLine = 1024;     ///< size and extensions
inline constexpr std::size_t kHttpMaxTrailers = 8 * 1024;  ///< all trailer lines together
inline constexpr std::uint64_t kHttpMaxChunk = 1ULL << 48;

/// Walks a body piece by piece. Chunk extensions and trailers are checked for their syntax and
/// dropped; a chunked body that is passed on is framed afresh with chunk_header.
class HttpBodyReader {
 public:
  explicit HttpBodyReader(const BodyFraming& framing);

  struct Step {
    std::size_t consumed = 0;  ///< bytes of the input that are done with
    std::string_view payload;  ///< a part of those bytes; empty for framing
  };
  /// Takes the front of `bytes`. Call again with the rest until done() or until everything is
  /// consumed; it always consumes something of a non-empty input unless done(). EBADMSG for a
  /// broken chunk, after which the reader must not be used.
  Result<Step> next(std::string_view bytes);
  /// The body is complete; what follows belongs to the next message.
  bool done() const { return state_ == State::done; }
  /// True when the peer's end of stream is a proper end at this point.
  bool may_end() const { return state_ == State::done || state_ == State::until_close; }

 private:
  enum class State {
    length,
    until_close,
    size,       ///< in the digits of a chunk size
    extension,  ///< after them
    size_lf,    ///< wants the LF of that line
    data,       ///< in chunk data
    data_cr,    ///< wants the CR after it
    data_lf,
    trailer_start,  ///< at the start of a trailer line
    trailer_name,   ///< within its name
    trailer,        ///< after the colon
    trailer_lf,
    end_lf,  ///< wants the LF of the empty line
    done,
  };
  Result<void> take_framing_byte(unsigned char c);
  Result<void> take_size_byte(unsigned char c);
  Result<void> take_trailer_byte(unsigned char c);
  Result<void> take_trailer_name_byte(unsigned char c, bool first);

  State state_;
  std::uint64_t remaining_ = 0;
  std::size_t line_ = 0;      ///< bytes of the chunk line so far
  std::size_t trailers_ = 0;  ///< bytes of trailers so far
  bool digits_ = false;
};

/// "1a\r\n": what goes before a chunk of `size` > 0 bytes; "\r\n" goes after it.
std::string chunk_header(std::size_t size);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace dirbox::netns
