#include "netns/session.h"

#include <sys/socket.h>

#include <algorithm>

#include "netns/engine.h"
#include "netns/socks5.h"

namespace dirbox::netns {
namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kSshPort = 22;
constexpr std::size_t kReadStep = 16 * 1024;

}  // namespace

Session::Session(Engine& engine, UniqueFd client)
    : engine_(engine),
      client_(std::move(client)),
      via_(Via::none),
      stage_(Stage::first_byte),
      explicit_(true) {}

Session::Session(Engine& engine, UniqueFd client, Via via, Host host, std::uint16_t port)
    : engine_(engine),
      client_(std::move(client)),
      via_(via),
      stage_(Stage::dialing),
      host_(std::move(host)),
      port_(port) {
  if (via_ == Via::publish) place_ = engine_.publish_place();
}

Session::~Session() {
  stop_dialing();
  unwatch();
}

void Session::start() {
  deadline_ = Clock::now() + engine_.spec().limits.header_timeout;
  if (!explicit_) open_target();
  if (!waits_for_client()) return;
  // Who connects mostly sends at once.
  on_client(EPOLLIN);
  if (waits_for_client()) watch();
}

bool Session::waits_for_client() const {
  return stage_ != Stage::dialing && stage_ != Stage::flushing && stage_ != Stage::over;
}

void Session::check_deadline(Clock::time_point now) {
  // The Dialer has a deadline of its own.
  if (stage_ == Stage::over || stage_ == Stage::dialing || now < deadline_) return;
  end();
}

void Session::end_if_silent() {
  char byte;
  bool silent = input_.empty() && ::recv(client_.get(), &byte, 1, MSG_PEEK) == 0;
  if (silent || via_ == Via::publish) end();
}

void Session::evict() {
  engine_.report({.kind = EventKind::limit,
                  .via = via_,
                  .cause = Cause::too_many_connections,
                  .detail = "the oldest connection without a verdict was closed"});
  reset();
}

/// For as long as the session has the client; a relay takes it over as it is.
void Session::watch() {
  if (stage_ == Stage::over || watched_) return;
  auto added = engine_.loop().add(client_.get(), Relay::kReadable,
                                  [this](std::uint32_t events) { on_client(events); });
  watched_ = added.has_value();
  if (!added) reset();
}

void Session::unwatch() {
  engine_.loop().remove(client_.get());
  engine_.loop().remove(upstream_.get());
  watched_ = false;
}

void Session::on_client(std::uint32_t events) {
  if (stage_ == Stage::over) return;
  if (!waits_for_client()) return on_client_while_dialing(events);
  if (!read_input()) return;
  step();
}

/// Its bytes have to wait; only its loss is of interest.
void Session::on_client_while_dialing(std::uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return end();
  watched_ = false;
  if (!engine_.loop().modify(client_.get(), 0)) reset();
}

/// False when the session ended.
bool Session::read_input() {
  while (input_.size() < kMaxInput && !client_ended_) {
    char bytes[kReadStep];
    ssize_t n = ::recv(client_.get(), bytes, kReadStep, 0);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) {
      end();
      return false;
    }
    input_.append(bytes, static_cast<std::size_t>(n));
    if (n == 0) client_ended_ = true;
    if (n < static_cast<ssize_t>(kReadStep)) break;
  }
  return true;
}

/// Runs the stages that read, until one wants more input.
void Session::step() {
  Stage before;
  do {
    before = stage_;
    switch (stage_) {
      case Stage::first_byte:
        read_first_byte();
        break;
      case Stage::socks_greeting:
        read_socks_greeting();
        break;
      case Stage::socks_request:
        read_socks_request();
        break;
      case Stage::http_head:
        read_http_head();
        break;
      case Stage::hello:
        read_hello();
        break;
      case Stage::dialing:
      case Stage::flushing:
      case Stage::over:
        return;
    }
  } while (stage_ != before);
  if (stage_ == Stage::over || stage_ == Stage::dialing) return;
  // No stage could go on with what is there, and nothing more will come or fit.
  if (client_ended_ || input_.size() >= kMaxInput) end();
}

void Session::read_first_byte() {
  if (input_.empty()) return;
  auto first = static_cast<std::uint8_t>(input_[0]);
  bool socks = first == kSocks5Version || first == kSocks4Version;
  via_ = socks ? Via::socks : Via::connect;
  stage_ = socks ? Stage::socks_greeting : Stage::http_head;
}

void Session::consume(std::size_t bytes) { input_.erase(0, bytes); }

/// host_ and port_ are known: verdict, then the check or the connection.
void Session::open_target() {
  if (via_ == Via::host_port || via_ == Via::publish) return dial();
  auto host = engine_.real_host(*host_);
  if (!host) {
    return refuse(make_denial(Cause::unknown_address, *host_, port_,
                              "the address was not given out by this sandbox's resolver"));
  }
  host_ = std::move(host);
  if (auto denial = verdict()) return refuse(*denial);
  if (port_ == kHttpPort && (!gated() || engine_.spec().allow_non_tls)) {
    if (explicit_ && !accept_tunnel()) return;
    return hand_to_http(true);
  }
  if (!explicit_ && gated()) {
    stage_ = Stage::hello;
    return;
  }
  dial();
}

std::optional<Denial> Session::verdict() {
  if (via_ == Via::host_port || via_ == Via::publish) return std::nullopt;
  judged_by_ = engine_.policy_number();
  return engine_.decide(*host_, port_);
}

/// Since the verdict; forwarded ports are under none.
bool Session::rules_changed() const {
  if (via_ == Via::host_port || via_ == Via::publish) return false;
  return judged_by_ != engine_.policy_number();
}

/// The name is allowed still, but the address that it led to may have been opened by a rule that is
/// gone.
void Session::dial_again() {
  engine_.loop().remove(upstream_.get());
  upstream_.reset();
  dial();
}

void Session::dial() {
  stage_ = Stage::dialing;
  auto done = [this](DialResult result) { on_dialed(std::move(result)); };
  if (via_ == Via::host_port) {
    dial_ = engine_.dialer().dial_host_loopback(port_, done);
  } else if (via_ == Via::publish) {
    connect_inside(false);
  } else {
    dial_ = engine_.dialer().dial(*host_, port_, engine_.policy().rules, DialFor::tunnel, done);
  }
  watch();
}

/// publish: a server inside listens on 127.0.0.1 or, as Node's do, on ::1 alone.
void Session::connect_inside(bool v6) {
  inside_ = engine_.sockets().connect_loopback(v6, port_, [this, v6](Result<UniqueFd> socket) {
    inside_ = 0;
    auto done = [this, v6](DialResult result) {
      if (!result && !v6) return connect_inside(true);
      on_dialed(std::move(result));
    };
    if (!socket) return done(tl::unexpected(DialFailure{Cause::connect_failed, socket.error()}));
    dial_ = engine_.dialer().adopt(std::move(*socket), done);
  });
}

void Session::on_dialed(DialResult result) {
  dial_ = 0;
  if (!result) {
    Denial denial =
        make_denial(result.error().cause, *host_, port_, result.error().error.message());
    return refuse(denial);
  }
  upstream_ = std::move(result->fd);
  if (rules_changed()) {
    if (auto denial = verdict()) return refuse(*denial);
    return dial_again();
  }
  if (explicit_ && !accepted_ && !accept_tunnel()) return;
  deadline_ = Clock::now() + engine_.spec().limits.header_timeout;
  if (explicit_ && gated()) {
    stage_ = Stage::hello;
    watch();
    return step();
  }
  start_flushing();
}

/// Tells the client of the explicit proxy that its tunnel stands. False when it is gone.
bool Session::accept_tunnel() {
  accepted_ = true;
  if (via_ == Via::socks) {
    auto reply = encode_socks_reply(SocksReply::succeeded);
    return send_now({reinterpret_cast<const char*>(reply.data()), reply.size()});
  }
  return send_now("HTTP/1.1 200 Connection established\r\n\r\n");
}

/// A few bytes into a send buffer that is empty: all of them or the client is gone.
bool Session::send_now(std::string_view bytes) {
  ssize_t n = ::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (n == static_cast<ssize_t>(bytes.size())) return true;
  reset();
  return false;
}

void Session::start_flushing() {
  stage_ = Stage::flushing;
  flush();
}

/// Passes on what was read before the verdict, then becomes a relay.
void Session::flush() {
  NameState& name = engine_.name_state(*host_);
  while (flushed_ < input_.size()) {
    std::uint64_t most = input_.size() - flushed_;
    if (name.limited()) most = std::min(most, name.allowance(Direction::up, Clock::now()));
    if (most == 0) return wait_for_rate(name);
    ssize_t n = ::send(upstream_.get(), input_.data() + flushed_, most, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      auto added =
          engine_.loop().add(upstream_.get(), EPOLLOUT, [this](std::uint32_t) { flush(); });
      if (!added) reset();
      return;
    }
    if (n < 0) return reset();
    flushed_ += static_cast<std::size_t>(n);
    name.spend(Direction::up, static_cast<std::uint64_t>(n));
  }
  stage_ = Stage::over;
  ++name.count.connections;
  // What is watched from here on, the relay watches.
  if (!watched_) engine_.loop().remove(client_.get());
  engine_.start_relay(std::move(client_), std::move(upstream_), name,
                      via_ == Via::publish ? Direction::down : Direction::up, watched_,
                      std::move(place_));
  engine_.retire(*this);
}

/// The name has nothing left: for now, or for good.
void Session::wait_for_rate(const NameState& name) {
  if (name.exhausted(Direction::up)) {
    return refuse(make_denial(Cause::byte_limit, *host_, port_));
  }
  // It may be watched for room, which it has: that would end the wait at once, again and again.
  engine_.loop().remove(upstream_.get());
  engine_.loop().cancel(pause_);
  pause_ = engine_.loop().after(kRatePause, [this] {
    if (stage_ == Stage::flushing) flush();
  });
}

void Session::stop_dialing() {
  engine_.loop().cancel(pause_);
  engine_.dialer().cancel(dial_);
  engine_.sockets().cancel(inside_);
}

void Session::end() {
  if (stage_ == Stage::over) return;
  stage_ = Stage::over;
  unwatch();
  stop_dialing();
  engine_.retire(*this);
}

void Session::reset() {
  if (stage_ == Stage::over) return;
  reset_connection(client_.get());
  end();
}

void Session::refuse(const Denial& denial) {
  engine_.report_denial(denial, via_);
  std::string bytes = refusal_bytes(denial);
  unwatch();
  engine_.send_farewell(std::move(client_), std::move(bytes));
  end();
}

/// What the client's protocol has for a refusal; empty: a reset.
std::string Session::refusal_bytes(const Denial& denial) {
  if (explicit_ && !accepted_) {
    if (via_ != Via::socks) return encode_http_denial(denial, engine_.spec().session);
    SocksReply code = SocksReply::host_unreachable;
    if (is_policy(denial.cause)) code = SocksReply::not_allowed;
    auto reply = encode_socks_reply(code);
    return {reinterpret_cast<const char*>(reply.data()), reply.size()};
  }
  if (denial.cause == Cause::not_tls) return {};
  if (stage_ == Stage::hello) return encode_tls_denial(denial);
  if (via_ == Via::transparent && port_ == kSshPort) return encode_ssh_denial(denial);
  // A server that cannot be reached looks like one.
  if (!is_policy(denial.cause)) return {};
  if (via_ == Via::transparent && port_ == kHttpPort)
    return encode_http_denial(denial, engine_.spec().session);
  if (via_ == Via::transparent && gated()) return encode_tls_denial(denial);
  return {};
}

}  // namespace dirbox::netns
