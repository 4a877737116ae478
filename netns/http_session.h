#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "launcher/base/event_loop.h"
#include "netns/counters.h"
#include "netns/denial.h"
#include "netns/dialer.h"
#include "netns/event.h"
#include "netns/http1.h"
#include "netns/http1_body.h"

namespace dirbox::netns {

class Engine;

/// Plain HTTP on one client connection: one request at a time, one verdict per request.
///
/// Theory of operation: a request head is read whole, parsed strictly, judged, and written afresh
/// for the server; then the body is passed on piece by piece while the answer comes back the same
/// way. The next request is not looked at before the answer is complete, so there is no pipelining
/// towards the server and nothing that a server could read as a second request: what is sent has
/// exactly the framing that was judged.
///
/// The target of a request is where the connection went (a transparent connection or a tunnel to
/// port 80) and Host must say the same, or it is the absolute form on the explicit proxy port.
/// A server connection is kept for the next request to the same host and port.
///
/// At most kBuffer bytes wait in each direction; a sink that takes nothing stops its source.
class HttpSession {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kBuffer = 64 * 1024;
  static constexpr std::chrono::seconds kKeepAlive{60};

  /// `fixed`: the only host and port that requests may be for; absent on the explicit proxy port.
  /// `input`: what was read from the client already.
  HttpSession(Engine& engine, UniqueFd client, Via via, std::optional<HostPort> fixed,
              std::string input);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  std::uint64_t id = 0;

  void start();
  void check_deadline(Clock::time_point now);
  void evict();
  /// Has, or may yet read, something for the server.
  bool is_sending() const {
    return state_ != State::exchange || !to_server_.empty() || !request_body_->done();
  }

 private:
  enum class State { request_head, dialing, exchange, over };

  // http_session.cpp: the client's side, verdicts
  void on_client(std::uint32_t events);
  void on_server(std::uint32_t events);
  void run();
  bool read_request_head();
  void begin_request(HttpRequest request);
  std::optional<Denial> judge(const HttpRequest& request);
  void connect_server(const Host& host, std::uint16_t port);
  void on_dialed(DialResult result);
  void send_request_head();
  void refuse(const Denial& denial);
  void refuse_request(const Error& error);
  void end(bool reset);

  // http_exchange.cpp: bodies and answers
  bool pass_request_body();
  bool read_response();
  bool pass_response_body();
  bool finish_exchange();
  void become_tunnel();
  void server_ended();
  void server_failed(std::string_view what);
  bool flush(int fd, std::string& bytes, Direction direction);
  static bool receive(int fd, std::string& into, bool& ended);
  void update_interest();
  void watch(int fd, std::uint32_t wanted, std::uint32_t& current, bool client);
  void drop_server();
  void pause_for_rate();
  bool over_limit();

  Engine& engine_;
  UniqueFd client_, server_;
  Via via_;
  std::optional<HostPort> fixed_;
  State state_ = State::request_head;

  std::string from_client_, to_server_, from_server_, to_client_;
  HttpHeadScanner request_scanner_, response_scanner_;
  std::optional<HttpRequest> request_;
  std::optional<HttpResponse> response_;
  std::optional<HttpBodyReader> request_body_, response_body_;
  std::optional<HostPort> server_target_;  // where server_ leads
  bool absolute_form_ = false;             // server_ is a parent proxy
  std::string parent_authorization_;
  NameState* name_ = nullptr;
  std::uint64_t judged_by_ = 0;  // number of the policy
  std::uint64_t dialed_by_ = 0;  // and of that by which server_'s address passed
  bool reused_ = false;          // server_ has answered an earlier request
  bool upgrade_ = false;         // this request may switch protocols
  bool client_keeps_ = false;    // the client's connection outlives this answer
  bool client_ended_ = false, server_ended_ = false;
  bool paused_ = false;

  Dialer::Ticket dial_ = 0;
  EventLoop::TimerId pause_timer_ = 0;
  std::uint32_t client_mask_ = 0, server_mask_ = 0;
  Clock::time_point deadline_;
};

}  // namespace dirbox::netns
