#include <fmt/format.h>
#include <poll.h>

#include "launcher/broker/docker/connection.h"
#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

constexpr Stream::Time kPatience{60'000};

}  // namespace

/// Waits until the engine has something to say, or the client is gone: then what it waited for
/// (`docker logs -f`) is of no use any more.
Result<void> Connection::await_engine(Stream& engine) {
  if (!engine.buffered().empty()) return {};
  for (;;) {
    pollfd sources[] = {{engine.fd(), POLLIN, 0}, {client_.fd(), 0, 0}};
    if (::poll(sources, 2, -1) < 0 && errno != EINTR) return fail_errno("wait", "docker");
    if (sources[0].revents != 0) return {};
    if ((sources[1].revents & (POLLHUP | POLLERR)) != 0) return fail_errno("wait", "docker", EPIPE);
  }
}

Result<bool> Connection::relay_body(const netns::HttpResponse& response, Stream& engine) {
  netns::HttpBodyReader reader(response.body);
  const bool chunked = response.body.kind == netns::BodyKind::chunked;
  while (!reader.done()) {
    if (engine.buffered().empty()) {
      TRY_VOID(await_engine(engine));
      if (!TRY(engine.fill(kPatience))) {
        if (reader.may_end()) return true;
        return fail_errno("relay an answer", "docker", EPIPE);  // the client sees it cut short
      }
    }
    auto step = reader.next(engine.buffered());
    if (!step) return fail_errno("relay an answer", "docker", EPIPE);
    if (!step->payload.empty()) {
      if (chunked) {
        std::string piece = netns::chunk_header(step->payload.size());
        piece.append(step->payload).append("\r\n");
        TRY_VOID(client_.write(piece));
      } else {
        TRY_VOID(client_.write(step->payload));
      }
    }
    engine.take(step->consumed);
  }
  if (chunked) TRY_VOID(client_.write(netns::kLastChunk));
  return true;
}

/// True when another request may follow. Errors with EPIPE: the client has got a part of it.
Result<bool> Connection::relay_answer(const Request& request, const Prepared& prepared,
                                      Stream& engine, bool may_keep) {
  TRY_VOID(await_engine(engine));
  const std::string& method = prepared.outgoing.method;
  netns::HttpResponse response = TRY(read_answer(engine, method, Stream::kForever));
  if (response.status == 101) {
    if (!prepared.outgoing.upgrade || response.upgrade != "tcp")
      return Failure(Error{"docker", {}, EIO, "the engine changed the protocol unasked", {}});
    TRY_VOID(client_.write(relayed_head(response, false, false)));
    TRY_VOID(run_tunnel(client_, engine));
    return false;
  }
  const bool keep = may_keep && can_keep(response, request);
  if (prepared.transform && response.status == 200) {
    auto body = engine.read_body(response.body, kMaxAnswer, kPatience);
    if (!body) return Failure(Error{"docker", {}, EIO, "the engine's answer is cut short", {}});
    Json answered = TRY(parse_answer(*body));
    Json changed = TRY(prepared.transform(std::move(answered)));
    TRY_VOID(client_.write(json_answer(200, changed.dump() + "\n", keep)));
    return keep;
  }
  TRY_VOID(client_.write(relayed_head(response, method == "HEAD", keep)));
  TRY_VOID(relay_body(response, engine));
  return keep;
}

Result<bool> Connection::exchange(const Request& request, const Prepared& prepared) {
  const bool creates = prepared.outgoing.path == "containers/create";
  std::unique_lock<std::mutex> lock(shared_.creating, std::defer_lock);
  if (creates) lock.lock();
  if (creates) TRY_VOID(check_count());
  Stream engine(TRY(shared_.engine.connect()));
  TRY_VOID(engine.write(request_bytes(prepared.outgoing), kPatience));
  return relay_answer(request, prepared, engine, true);
}

/// Sends the request's body in chunks, changed by `change` where there is one, until it ends (true)
/// or the engine answers before (false).
Result<bool> Connection::upload(
    Stream& engine, const netns::BodyFraming& framing,
    const std::function<Result<void>(std::string_view, std::string&)>& change) {
  netns::HttpBodyReader reader(framing);
  while (!reader.done()) {
    if (client_.buffered().empty()) {
      pollfd sources[] = {{client_.fd(), POLLIN, 0}, {engine.fd(), POLLIN, 0}};
      if (::poll(sources, 2, -1) < 0 && errno != EINTR) return fail_errno("wait", "docker");
      if (sources[1].revents != 0) return false;
      if (sources[0].revents == 0) continue;
      if (!TRY(client_.fill(kPatience))) return fail_errno("read a body", "docker", EPIPE);
    }
    auto step = TRY(reader.next(client_.buffered()));
    std::string piece;
    if (change && !step.payload.empty()) {
      TRY_VOID(change(step.payload, piece));
    } else {
      piece = step.payload;
    }
    client_.take(step.consumed);
    if (!piece.empty()) {
      auto written = engine.write(netns::chunk_header(piece.size()) + piece + "\r\n");
      if (!written) return false;  // it has answered, and closed
    }
  }
  body_pending_ = false;
  return true;
}

Result<bool> Connection::exchange_upload(const Request& request, const Prepared& prepared) {
  Prepared chunked = prepared;
  chunked.outgoing.chunked = true;
  Stream engine(TRY(shared_.engine.connect()));
  TRY_VOID(engine.write(request_bytes(chunked.outgoing), kPatience));
  const bool whole = TRY(upload(engine, request.body, {}));
  if (whole) TRY_VOID(engine.write(netns::kLastChunk, kPatience));
  bool keep = TRY(relay_answer(request, chunked, engine, whole));
  if (!whole) say_goodbye(client_);
  return keep;
}

}  // namespace dirbox::docker
