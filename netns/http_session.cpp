#include "netns/http_session.h"

#include <strings.h>
#include <sys/socket.h>

#include "netns/engine.h"

namespace dirbox::netns {
namespace {

constexpr std::uint16_t kHttpPort = 80;

/// Puts a target in absolute form, for a parent proxy, into a head in origin form.
std::string to_absolute_form(std::string head, const HostPort& target,
                             const std::string& authorization) {
  auto space = head.find(' ');
  std::string authority = host_port_text(target.host, target.port.value_or(kHttpPort), kHttpPort);
  if (head[space + 1] == '*') head.erase(space + 1, 1);  // RFC 9112 3.2.4
  head.insert(space + 1, "http://" + authority);
  if (!authorization.empty()) {
    head.insert(head.find("\r\n") + 2, "Proxy-Authorization: " + authorization + "\r\n");
  }
  return head;
}

/// True when the server has not closed the connection since the last answer.
bool is_still_open(int fd) {
  char byte;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

}  // namespace

HttpSession::HttpSession(Engine& engine, UniqueFd client, Via via, std::optional<HostPort> fixed,
                         std::string input)
    : engine_(engine),
      client_(std::move(client)),
      via_(via),
      fixed_(std::move(fixed)),
      from_client_(std::move(input)) {}

HttpSession::~HttpSession() {
  engine_.dialer().cancel(dial_);
  engine_.loop().cancel(pause_timer_);
  engine_.loop().remove(client_.get());
  engine_.loop().remove(server_.get());
}

void HttpSession::start() {
  deadline_ = Clock::now() + engine_.spec().limits.header_timeout;
  run();
}

void HttpSession::check_deadline(Clock::time_point now) {
  if (state_ == State::over || state_ == State::dialing || now < deadline_) return;
  end(state_ == State::exchange);
}

void HttpSession::evict() {
  engine_.report({.kind = EventKind::limit,
                  .via = via_,
                  .cause = Cause::too_many_connections,
                  .detail = "the oldest connection without a verdict was closed"});
  end(true);
}

void HttpSession::on_client(std::uint32_t events) {
  if (state_ == State::over) return;
  bool wants = (client_mask_ & EPOLLIN) != 0;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && wants) {
    if (!receive(client_.get(), from_client_, client_ended_)) return end(true);
  } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
    return end(true);
  }
  run();
}

void HttpSession::on_server(std::uint32_t events) {
  if (state_ == State::over) return;
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    if (!receive(server_.get(), from_server_, server_ended_)) {
      return server_failed("the server reset the connection");
    }
  }
  run();
}

/// Does whatever can be done with the bytes that are here, then waits for more.
void HttpSession::run() {
  bool progress = true;
  while (progress && state_ != State::over) {
    progress = false;
    if (state_ == State::request_head) progress = read_request_head();
    if (state_ != State::exchange) continue;
    progress |= pass_request_body();
    if (state_ == State::exchange && !flush(server_.get(), to_server_, Direction::up)) {
      if (state_ == State::over) return;
      // The server may have answered early and closed: its answer counts, if there is one.
      to_server_.clear();
      auto heard = [this] { return response_ || !from_server_.empty() || server_ended_; };
      if (!heard() && (!receive(server_.get(), from_server_, server_ended_) || !heard())) {
        return server_failed("the server closed the connection");
      }
    }
    if (state_ == State::exchange) progress |= read_response();
    if (state_ == State::exchange) progress |= pass_response_body();
    if (state_ == State::exchange) server_ended();
    if (state_ == State::over) return;
    if (!flush(client_.get(), to_client_, Direction::down)) return end(true);
    if (state_ == State::exchange) progress |= finish_exchange();
  }
  if (state_ != State::over) update_interest();
}

bool HttpSession::read_request_head() {
  if (from_client_.empty()) {
    if (client_ended_) end(false);
    return false;
  }
  auto length = request_scanner_.scan(from_client_);
  if (!length) {
    refuse_request(length.error());
    return false;
  }
  if (!*length) {
    if (client_ended_) end(false);
    return false;
  }
  auto request = parse_http_request(std::string_view(from_client_).substr(0, **length));
  if (!request) {
    refuse_request(request.error());
    return false;
  }
  from_client_.erase(0, **length);
  request_scanner_ = {};
  begin_request(std::move(*request));
  return state_ == State::exchange;
}

void HttpSession::begin_request(HttpRequest request) {
  if (fixed_ && !request.target) request.target = fixed_;
  judged_by_ = engine_.policy_number();
  if (auto denial = judge(request)) {
    request_ = std::move(request);
    return refuse(*denial);
  }
  // A fake address in a URL stands for its name, to the server too.
  request.target->host = *engine_.real_host(request.target->host);
  bool websocket = ::strcasecmp(request.upgrade.c_str(), "websocket") == 0;
  const HostPort& target = *request.target;
  std::uint16_t port = request.port_or(kHttpPort);
  // Other upgrades (h2c) are not offered on, rule or not: the request works without.
  upgrade_ = websocket && engine_.upgrade_allowed(target.host, port);
  if (websocket && !upgrade_) {
    Denial denial = make_denial(Cause::upgrade, target.host, port);
    request_ = std::move(request);
    return refuse(denial);
  }
  request_body_.emplace(request.body);
  request_ = std::move(request);
  response_.reset();
  response_body_.reset();
  response_scanner_ = {};
  name_ = &engine_.name_state(request_->target->host);
  connect_server(request_->target->host, port);
}

/// nullopt: allowed.
std::optional<Denial> HttpSession::judge(const HttpRequest& request) {
  auto bad = [](std::string detail) {
    Denial denial;
    denial.cause = Cause::bad_request;
    denial.detail = std::move(detail);
    return denial;
  };
  if (!request.target) return bad("the request names no host");
  if (request.form == HttpTargetForm::authority) return bad("CONNECT inside a connection");
  // With Max-Forwards a parent proxy answers it with the request that it got, password and all.
  if (request.method == "TRACE") return bad("TRACE, which shows what a proxy adds");
  std::uint16_t port = request.port_or(kHttpPort);
  auto host = engine_.real_host(request.target->host);
  if (!host) return make_denial(Cause::unknown_address, request.target->host, port);
  if (!fixed_) {
    if (request.form != HttpTargetForm::absolute) {
      return bad("a proxy wants the absolute form (GET http://host/path)");
    }
    if (auto denial = engine_.decide(*host, port)) return denial;
    if (engine_.tls_check(port) == TlsCheck::off || engine_.spec().allow_non_tls) return {};
    return make_denial(Cause::not_tls, *host, port);
  }
  if (*host != fixed_->host || port != fixed_->port.value_or(kHttpPort)) {
    return make_denial(Cause::host_mismatch, fixed_->host, fixed_->port.value_or(kHttpPort),
                       "the request is for " + host_port_text(request.target->host, port));
  }
  // The rules may have changed since the connection was made.
  return engine_.decide(*host, port);
}

void HttpSession::connect_server(const Host& host, std::uint16_t port) {
  HostPort wanted{host, port};
  // By other rules the name's address may be a refused one.
  reused_ = server_.valid() && server_target_ == wanted && dialed_by_ == engine_.policy_number() &&
            from_server_.empty() && is_still_open(server_.get());
  if (reused_) return send_request_head();
  drop_server();
  server_target_ = wanted;
  dialed_by_ = engine_.policy_number();
  state_ = State::dialing;
  dial_ = engine_.dialer().dial(wanted.host, port, engine_.policy().rules, DialFor::plain_http,
                                [this](DialResult result) { on_dialed(std::move(result)); });
}

void HttpSession::on_dialed(DialResult result) {
  dial_ = 0;
  if (!result) {
    return refuse(make_denial(result.error().cause, server_target_->host,
                              server_target_->port.value_or(kHttpPort),
                              result.error().error.message()));
  }
  server_ = std::move(result->fd);
  if (judged_by_ != engine_.policy_number()) {
    judged_by_ = engine_.policy_number();
    if (auto denial = judge(*request_)) return refuse(*denial);
    const HostPort target = *server_target_;
    return connect_server(target.host, target.port.value_or(kHttpPort));
  }
  absolute_form_ = result->absolute_form;
  parent_authorization_ = std::move(result->proxy_authorization);
  ++name_->count.connections;
  send_request_head();
  run();
}

void HttpSession::send_request_head() {
  state_ = State::exchange;
  deadline_ = Clock::now() + engine_.spec().limits.idle_timeout;
  server_ended_ = false;
  std::string head =
      rewrite_http_request(*request_, {.keep_alive = true, .allow_upgrade = upgrade_});
  if (absolute_form_) {
    head = to_absolute_form(std::move(head), *server_target_, parent_authorization_);
  }
  to_server_ += head;
}

void HttpSession::refuse(const Denial& denial) {
  engine_.report_denial(denial, via_);
  bool head_only = request_ && request_->method == "HEAD";
  engine_.loop().remove(client_.get());
  client_mask_ = 0;
  engine_.send_farewell(std::move(client_),
                        encode_http_denial(denial, engine_.spec().session, !head_only));
  end(false);
}

void HttpSession::refuse_request(const Error& error) {
  Denial denial;
  denial.cause = Cause::bad_request;
  denial.detail = error.detail.empty() ? error.message() : error.detail;
  if (fixed_) {
    denial.host = host_text(fixed_->host);
    denial.port = fixed_->port.value_or(kHttpPort);
  }
  engine_.report_denial(denial, via_);
  engine_.loop().remove(client_.get());
  client_mask_ = 0;
  engine_.send_farewell(std::move(client_),
                        encode_http_error(http_status_of(error), denial.detail));
  end(false);
}

void HttpSession::end(bool reset) {
  if (state_ == State::over) return;
  state_ = State::over;
  if (reset && client_.valid()) reset_connection(client_.get());
  engine_.dialer().cancel(dial_);
  engine_.loop().remove(client_.get());
  engine_.loop().remove(server_.get());
  engine_.retire(*this);
}

}  // namespace dirbox::netns
