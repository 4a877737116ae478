#include "netns/http1_body.h"

#include <fmt/format.h>

#include <algorithm>

#include "netns/http1_syntax.h"

namespace dirbox::netns {
namespace {

/// -1 when it is no hexadecimal digit.
int hex_value(unsigned char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Failure broken(std::string_view detail) { return http_syntax::refuse(EBADMSG, detail); }

}  // namespace

HttpBodyReader::HttpBodyReader(const BodyFraming& framing) : state_(State::done) {
  switch (framing.kind) {
    case BodyKind::none:
      break;
    case BodyKind::length:
      remaining_ = framing.length;
      if (remaining_ > 0) state_ = State::length;
      break;
    case BodyKind::chunked:
      state_ = State::size;
      break;
    case BodyKind::until_close:
      state_ = State::until_close;
      break;
  }
}

Result<HttpBodyReader::Step> HttpBodyReader::next(std::string_view bytes) {
  if (state_ == State::until_close) return Step{bytes.size(), bytes};
  std::size_t used = 0;
  while (used < bytes.size() && state_ != State::done) {
    if (state_ == State::length || state_ == State::data) {
      std::string_view payload = bytes.substr(used, remaining_);
      remaining_ -= payload.size();
      if (remaining_ == 0) state_ = state_ == State::length ? State::done : State::data_cr;
      return Step{used + payload.size(), payload};
    }
    TRY_VOID(take_framing_byte(static_cast<unsigned char>(bytes[used++])));
  }
  return Step{used, {}};
}

Result<void> HttpBodyReader::take_framing_byte(unsigned char c) {
  switch (state_) {
    case State::size:
    case State::extension:
      return take_size_byte(c);
    case State::size_lf:
      if (c != '\n') return broken("a chunk size line without LF");
      state_ = remaining_ > 0 ? State::data : State::trailer_start;
      line_ = 0;
      digits_ = false;
      return {};
    case State::data_cr:
      if (c != '\r') return broken("a chunk that is longer than its size");
      state_ = State::data_lf;
      return {};
    case State::data_lf:
      if (c != '\n') return broken("a chunk without LF at its end");
      state_ = State::size;
      return {};
    case State::end_lf:
      if (c != '\n') return broken("a chunked body without LF at its end");
      state_ = State::done;
      return {};
    default:
      return take_trailer_byte(c);
  }
}

Result<void> HttpBodyReader::take_size_byte(unsigned char c) {
  if (++line_ > kHttpMaxChunkLine) return broken("a chunk size line of more than 1 KiB");
  if (c == '\r' && digits_) {
    state_ = State::size_lf;
    return {};
  }
  if (state_ == State::extension) {
    if (http_syntax::is_control(static_cast<char>(c)) && c != '\t')
      return broken("a control character in a chunk extension");
    return {};
  }
  if (c == ';' && digits_) {
    state_ = State::extension;
    return {};
  }
  int digit = hex_value(c);
  if (digit < 0) return broken("a malformed chunk size");
  remaining_ = remaining_ * 16 + static_cast<unsigned>(digit);
  if (remaining_ > kHttpMaxChunk) return broken("a chunk size beyond 2^48");
  digits_ = true;
  return {};
}

Result<void> HttpBodyReader::take_trailer_name_byte(unsigned char c, bool first) {
  if (c == ':' && !first) {
    state_ = State::trailer;
    return {};
  }
  if (!http_syntax::is_token({reinterpret_cast<const char*>(&c), 1}))
    return broken("a malformed name of a trailer");
  return {};
}

Result<void> HttpBodyReader::take_trailer_byte(unsigned char c) {
  if (++trailers_ > kHttpMaxTrailers) return broken("more than 8 KiB of trailers");
  switch (state_) {
    case State::trailer_start:
      if (c == '\r') {
        state_ = State::end_lf;
        return {};
      }
      state_ = State::trailer_name;
      return take_trailer_name_byte(c, true);
    case State::trailer_name:
      return take_trailer_name_byte(c, false);
    case State::trailer:
      if (c == '\r') {
        state_ = State::trailer_lf;
        return {};
      }
      break;
    default:
      if (c != '\n') return broken("a trailer without LF");
      state_ = State::trailer_start;
      return {};
  }
  if (http_syntax::is_control(static_cast<char>(c)) && c != '\t')
    return broken("a control character in a trailer");
  return {};
}

std::string chunk_header(std::size_t size) { return fmt::format("{:x}\r\n", size); }

}  // namespace dirbox::netns
