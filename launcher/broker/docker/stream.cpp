#include "launcher/broker/docker/stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "launcher/broker/docker/refusal.h"
#include "netns/http1.h"

namespace dirbox::docker {
namespace {

constexpr std::size_t kMaxGoodbye = 64 << 20;
constexpr Stream::Time kGoodbye{2000};

Failure lost(int err = errno) { return fail_errno("talk", "docker", err); }

/// Waits for `events` on one socket. False when the time is over.
Result<bool> wait_for(int fd, short events, Stream::Time patience) {
  for (;;) {
    pollfd source{fd, events, 0};
    int ready = ::poll(&source, 1, static_cast<int>(patience.count()));
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return lost();
  }
}

}  // namespace

Result<bool> Stream::fill(Time patience) {
  std::array<char, kPiece> piece;
  for (;;) {
    ssize_t got = ::recv(fd(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (got > 0) {
      buffer_.append(piece.data(), static_cast<std::size_t>(got));
      return true;
    }
    if (got == 0) return false;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return lost();
    if (!TRY(wait_for(fd(), POLLIN, patience))) return lost(ETIMEDOUT);
  }
}

Result<void> Stream::write(std::string_view bytes, Time patience) {
  while (!bytes.empty()) {
    ssize_t put = ::send(fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(put));
      continue;
    }
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno != EAGAIN) return lost();
    if (!TRY(wait_for(fd(), POLLOUT, patience))) return lost(ETIMEDOUT);
  }
  return {};
}

void Stream::shut_writing() { ::shutdown(fd(), SHUT_WR); }

Result<std::string> Stream::read_head(Time patience) {
  netns::HttpHeadScanner scanner;
  for (;;) {
    if (auto length = TRY(scanner.scan(buffer_))) {
      std::string head = buffer_.substr(0, *length);
      buffer_.erase(0, *length);
      return head;
    }
    if (!TRY(fill(patience))) {
      if (buffer_.empty()) return std::string();
      return refuse_form("the connection ended within a head");
    }
  }
}

Result<std::string> Stream::read_body(const netns::BodyFraming& framing, std::size_t most,
                                      Time patience) {
  Failure too_large(Error{"docker", {}, EMSGSIZE, "the body is too large", {}});
  if (framing.kind == netns::BodyKind::length && framing.length > most) return too_large;
  netns::HttpBodyReader reader(framing);
  std::string body;
  while (!reader.done()) {
    if (buffer_.empty() && !TRY(fill(patience))) {
      if (reader.may_end()) break;
      return refuse_form("the connection ended within a body");
    }
    auto step = TRY(reader.next(buffer_));
    body.append(step.payload);
    buffer_.erase(0, step.consumed);
    if (body.size() > most) return too_large;
  }
  return body;
}

namespace {

/// One direction of a tunnel. What was read waits in the source's buffer until it is written.
struct Flow {
  Stream& source;
  Stream& sink;
  bool ended = false;  ///< the source is at its end
  bool shut = false;   ///< and the sink knows

  bool wants_input() const { return !ended && source.buffered().empty(); }
  bool has_output() const { return !source.buffered().empty(); }
};

Result<void> pump_in(Flow& flow) {
  std::array<char, kPiece> unused;
  if (::recv(flow.source.fd(), unused.data(), 1, MSG_DONTWAIT | MSG_PEEK) < 0 &&
      (errno == EAGAIN || errno == EINTR))
    return {};
  flow.ended = !TRY(flow.source.fill(Stream::Time(0)));
  return {};
}

Result<void> pump_out(Flow& flow) {
  std::string_view bytes = flow.source.buffered();
  ssize_t put = ::send(flow.sink.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (put > 0) flow.source.take(static_cast<std::size_t>(put));
  if (put < 0 && errno != EAGAIN && errno != EINTR) return lost();
  return {};
}

Result<void> pump(Flow& flow, short source_events, short sink_events) {
  if ((source_events & (POLLIN | POLLHUP)) != 0 && flow.wants_input()) TRY_VOID(pump_in(flow));
  if ((sink_events & (POLLOUT | POLLERR)) != 0 && flow.has_output()) TRY_VOID(pump_out(flow));
  if (flow.ended && !flow.has_output() && !flow.shut) {
    flow.sink.shut_writing();
    flow.shut = true;
  }
  return {};
}

}  // namespace

Result<void> run_tunnel(Stream& client, Stream& engine) {
  Flow up{client, engine}, down{engine, client};
  auto interest = [](const Flow& in, const Flow& out) {
    return static_cast<short>((in.wants_input() ? POLLIN : 0) | (out.has_output() ? POLLOUT : 0));
  };
  bool engine_hung = false;
  while (!down.shut) {
    pollfd sources[] = {{client.fd(), interest(up, down), 0}, {engine.fd(), interest(down, up), 0}};
    // A hang-up is reported whatever is asked for: it must not keep this awake while the client is
    // slow to read.
    if (engine_hung && !down.wants_input()) sources[1].fd = -1;
    if (::poll(sources, 2, -1) < 0 && errno != EINTR) return lost();
    engine_hung = engine_hung || (sources[1].revents & POLLHUP) != 0;
    TRY_VOID(pump(up, sources[0].revents, sources[1].revents));
    TRY_VOID(pump(down, sources[1].revents, sources[0].revents));
    // Both directions of the client are closed: nobody reads, and what it wrote is all there is.
    if ((sources[0].revents & POLLHUP) != 0 && !up.wants_input())
      return up.has_output() ? engine.write(client.buffered(), kGoodbye) : lost(EPIPE);
  }
  return {};
}

void say_goodbye(Stream& client) {
  client.shut_writing();
  for (std::size_t dropped = 0; dropped < kMaxGoodbye;) {
    dropped += client.buffered().size();
    client.take(client.buffered().size());
    auto more = client.fill(kGoodbye);
    if (!more || !*more) return;
  }
}

}  // namespace dirbox::docker
