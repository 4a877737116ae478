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
#include "netns/host.h"
#include "netns/http1.h"
#include "netns/relay.h"
#include "netns/tls_hello.h"

namespace dirbox::netns {

class Engine;

/// An accepted connection until its verdict.
///
///   explicit proxy:  first_byte ─► socks_* ─┐
///                         └─────► http_head ┼─► dialing ─► hello ─► flushing ─► Relay
///   transparent, :443:                hello ┼─► dialing ─────────► flushing ─► Relay
///   transparent, other:                     └─► dialing ─────────► flushing ─► Relay
///
/// Plain HTTP, that is a request in absolute form or any connection to port 80, goes to
/// HttpSession. A tunnel to a TLS port is dialled before its ClientHello is seen, so that the
/// client can be told of a dead server in its own protocol; not a byte reaches the server before
/// the check. A verdict holds for as long as the rules do: a session that waited meanwhile is
/// judged again. Whatever stage waits for the client does so until `deadline`
/// (Limits::header_timeout).
class Session {
 public:
  using Clock = std::chrono::steady_clock;

  /// On the explicit port: the client says what it wants.
  Session(Engine& engine, UniqueFd client);
  /// On a transparent listener, or for a forwarded port: the target is known.
  Session(Engine& engine, UniqueFd client, Via via, Host host, std::uint16_t port);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  std::uint64_t id = 0;

  void start();
  /// Ends the session when its time is over.
  void check_deadline(Clock::time_point now);
  /// Everything inside has ended: so does a session whose client left without a word.
  void end_if_silent();
  /// Ends the session for a newer one.
  void evict();

  /// The most that is read before a verdict: a ClientHello (tls_hello.h) is the largest.
  static constexpr std::size_t kMaxInput = kMaxHelloStream;

 private:
  enum class Stage {
    first_byte,
    socks_greeting,
    socks_request,
    http_head,
    dialing,
    hello,
    flushing,
    over,
  };

  // session.cpp
  void on_client(std::uint32_t events);
  void on_client_while_dialing(std::uint32_t events);
  bool waits_for_client() const;
  bool read_input();
  void step();
  void watch();
  void unwatch();
  void consume(std::size_t bytes);
  void read_first_byte();
  void open_target();
  void dial();
  void connect_inside(bool v6);
  void on_dialed(DialResult result);
  void flush();
  void wait_for_rate(const NameState& name);
  std::optional<Denial> verdict();
  bool rules_changed() const;
  void dial_again();
  void start_flushing();
  void stop_dialing();
  void end();
  void reset();
  void refuse(const Denial& denial);
  std::string refusal_bytes(const Denial& denial);

  // socks_session.cpp
  void read_socks_greeting();
  void read_socks_request();
  void refuse_socks(std::string answer, const Error& error);
  // connect_session.cpp
  void read_http_head();
  void hand_to_http(bool fixed);
  // tls_gate.cpp
  bool gated() const;
  void read_hello();
  std::optional<Denial> judge_hello() const;

  bool send_now(std::string_view bytes);
  bool accept_tunnel();

  Engine& engine_;
  UniqueFd client_, upstream_;
  Via via_;
  PublishPlace place_;
  Stage stage_;
  bool explicit_ = false;      // the client waits for an answer of ours before it talks on
  bool accepted_ = false;      // and has got it
  bool client_ended_ = false;  // half-closed
  std::optional<Host> host_;
  std::uint16_t port_ = 0;
  std::string input_;        // read and not yet passed on
  std::size_t flushed_ = 0;  // of input_
  HttpHeadScanner scanner_;
  TlsHelloReader hello_;
  std::size_t hello_fed_ = 0;    // bytes of input_ that hello_ has seen
  std::uint64_t judged_by_ = 0;  // number of the policy
  EventLoop::TimerId pause_ = 0;
  Dialer::Ticket dial_ = 0;
  std::uint32_t inside_ = 0;  // SocketClient::Ticket
  bool watched_ = false;      // client_ is, for Relay::kReadable
  Clock::time_point deadline_;
};

}  // namespace dirbox::netns
