#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "netns/engine.h"
#include "netns/http_session.h"

/// The exchange of an HttpSession: bodies, answers, and what is watched meanwhile.
namespace dirbox::netns {
namespace {

constexpr std::size_t kReadStep = 32 * 1024;

void append_payload(std::string& out, BodyKind kind, std::string_view payload) {
  if (payload.empty()) return;
  if (kind != BodyKind::chunked) {
    out += payload;
    return;
  }
  out += chunk_header(payload.size());
  out += payload;
  out += "\r\n";
}

/// Moves a body from `in` to `out`, framed as `kind`, until either is exhausted.
Result<bool> pass_body(HttpBodyReader& body, BodyKind kind, std::string& in, std::string& out,
                       std::size_t most) {
  std::size_t taken = 0;
  while (!body.done() && taken < in.size() && out.size() < most) {
    auto step = TRY(body.next(std::string_view(in).substr(taken)));
    append_payload(out, kind, step.payload);
    taken += step.consumed;
    if (body.done() && kind == BodyKind::chunked) out += kLastChunk;
  }
  in.erase(0, taken);
  return taken > 0;
}

}  // namespace

bool HttpSession::pass_request_body() {
  if (request_body_->done()) return false;
  auto passed = pass_body(*request_body_, request_->body.kind, from_client_, to_server_, kBuffer);
  if (!passed) {
    // The head is with the server already: cut the request off, never complete it.
    refuse_request(passed.error());
    return false;
  }
  if (!request_body_->done() && from_client_.empty() && client_ended_) end(true);
  return *passed;
}

bool HttpSession::read_response() {
  if (response_ || from_server_.empty()) return false;
  auto length = response_scanner_.scan(from_server_);
  if (!length) {
    server_failed("its answer is malformed");
    return false;
  }
  if (!*length) return false;
  auto response =
      parse_http_response(std::string_view(from_server_).substr(0, **length), request_->method);
  if (!response || (response->status == 101 && !upgrade_)) {
    server_failed("its answer is malformed");
    return false;
  }
  from_server_.erase(0, **length);
  response_scanner_ = {};
  client_keeps_ = request_->keep_alive && !response->is_interim() &&
                  response->body.kind != BodyKind::until_close;
  to_client_ += rewrite_http_response(
      *response, {.keep_alive = client_keeps_, .allow_upgrade = response->status == 101});
  if (response->is_interim()) return true;
  response_ = std::move(*response);
  response_body_.emplace(response_->body);
  return true;
}

bool HttpSession::pass_response_body() {
  if (!response_ || response_->status == 101) return false;
  if (response_body_->done()) return false;
  auto passed = pass_body(*response_body_, response_->body.kind, from_server_, to_client_, kBuffer);
  if (passed) return *passed;
  end(true);  // the client has a part of the answer: a reset tells it that the rest is missing
  return false;
}

void HttpSession::server_ended() {
  if (!server_ended_ || !from_server_.empty()) return;
  if (!response_) return server_failed("it closed the connection without an answer");
  if (response_->status == 101 || response_body_->done()) return;
  if (!response_body_->may_end()) return end(true);
  response_body_.emplace(BodyFraming{});  // complete
}

void HttpSession::server_failed(std::string_view what) {
  // A kept connection may end just as a request sets out on it: the client, whose connection was
  // kept as well, knows what to do then (RFC 9112 9.3.1), and not after a 502.
  if (response_ || reused_) return end(true);
  refuse(make_denial(Cause::connect_failed, server_target_->host, server_target_->port.value_or(0),
                     std::string(what)));
}

/// The answer is complete and with the client: next request, or the end.
bool HttpSession::finish_exchange() {
  if (!response_ || !to_client_.empty()) return false;
  if (response_->status == 101) {
    // What came early goes first.
    bool early = !from_client_.empty() || !from_server_.empty();
    to_server_ += std::exchange(from_client_, {});
    to_client_ += std::exchange(from_server_, {});
    if (early || !to_server_.empty()) return early;
    become_tunnel();
    return false;
  }
  if (!response_body_->done()) return false;
  bool complete = request_body_->done() && to_server_.empty();
  bool server_keeps = complete && response_->keep_alive && !server_ended_ &&
                      response_->body.kind != BodyKind::until_close && from_server_.empty();
  if (!server_keeps) drop_server();
  if (!client_keeps_ || !complete) {
    // An answer to a request that is still being sent (413): let the client read it.
    engine_.loop().remove(client_.get());
    client_mask_ = 0;
    engine_.close_in_order(std::move(client_));
    end(false);
    return false;
  }
  request_.reset();
  response_.reset();
  for (std::string* buffer : {&from_client_, &to_server_, &from_server_, &to_client_})
    buffer->shrink_to_fit();
  state_ = State::request_head;
  deadline_ =
      Clock::now() + (from_client_.empty() ? kKeepAlive : engine_.spec().limits.header_timeout);
  return !from_client_.empty();
}

/// After 101: bytes in both directions.
void HttpSession::become_tunnel() {
  engine_.loop().remove(client_.get());
  engine_.loop().remove(server_.get());
  engine_.start_relay(std::move(client_), std::move(server_), *name_, Direction::up);
  end(false);
}

/// Sends what the socket takes and the name's limits leave, heads and all. False when the socket is
/// broken, or a byte limit ended the session.
bool HttpSession::flush(int fd, std::string& bytes, Direction direction) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    std::uint64_t most = bytes.size() - sent;
    if (name_->limited()) most = std::min(most, name_->allowance(direction, Clock::now()));
    if (most == 0 && name_->exhausted(direction)) return over_limit();
    if (most == 0) {
      pause_for_rate();
      break;
    }
    ssize_t n = ::send(fd, bytes.data() + sent, most, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return false;
    sent += static_cast<std::size_t>(n);
    name_->spend(direction, static_cast<std::uint64_t>(n));
  }
  bytes.erase(0, sent);
  if (sent > 0) {
    deadline_ = std::max(deadline_, Clock::now() + engine_.spec().limits.idle_timeout);
  }
  return true;
}

bool HttpSession::over_limit() {
  engine_.report_denial(
      make_denial(Cause::byte_limit, server_target_->host, server_target_->port.value_or(0)), via_);
  end(true);
  return false;
}

/// One read into `into`. False on an error; `ended` at the end of the stream.
bool HttpSession::receive(int fd, std::string& into, bool& ended) {
  // By way of the stack: `into` grows by what came, and thousands of idle sessions hold little.
  char bytes[kReadStep];
  ssize_t n = ::recv(fd, bytes, kReadStep, 0);
  if (n < 0) return errno == EAGAIN;
  into.append(bytes, static_cast<std::size_t>(n));
  if (n == 0) ended = true;
  return true;
}

void HttpSession::pause_for_rate() {
  paused_ = true;
  if (pause_timer_ != 0) return;
  pause_timer_ = engine_.loop().after(kRatePause, [this] {
    pause_timer_ = 0;
    paused_ = false;
    if (state_ != State::over) run();
  });
}

void HttpSession::update_interest() {
  std::uint32_t client = 0, server = 0;
  bool body = state_ == State::exchange && !request_body_->done() && to_server_.size() < kBuffer;
  if (!client_ended_ && !paused_ && (state_ == State::request_head || body)) client |= EPOLLIN;
  if (!to_client_.empty() && !paused_) client |= EPOLLOUT;
  if (state_ == State::exchange) {
    if (!server_ended_ && !paused_ && to_client_.size() < kBuffer) server |= EPOLLIN;
    if (!to_server_.empty() && !paused_) server |= EPOLLOUT;
  }
  watch(client_.get(), client, client_mask_, true);
  if (state_ != State::over) watch(server_.get(), server, server_mask_, false);
}

/// Not watched at all when nothing is wanted: EPOLLHUP is level-triggered and cannot be masked.
void HttpSession::watch(int fd, std::uint32_t wanted, std::uint32_t& current, bool client) {
  if (wanted == current || fd < 0) return;
  Result<void> done;
  if (wanted == 0) {
    engine_.loop().remove(fd);
  } else if (current != 0) {
    done = engine_.loop().modify(fd, wanted);
  } else if (client) {
    done = engine_.loop().add(fd, wanted, [this](std::uint32_t events) { on_client(events); });
  } else {
    done = engine_.loop().add(fd, wanted, [this](std::uint32_t events) { on_server(events); });
  }
  current = wanted;
  if (!done) end(true);
}

void HttpSession::drop_server() {
  engine_.loop().remove(server_.get());
  server_.reset();
  server_mask_ = 0;
  server_target_.reset();
  from_server_.clear();
  to_server_.clear();
}

}  // namespace dirbox::netns
