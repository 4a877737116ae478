#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "launcher/base/event_loop.h"
#include "netns/event.h"
#include "netns/parent_proxy.h"
#include "netns/resolver.h"
#include "netns/rules.h"
#include "netns/spec.h"

/// From an allowed host and port to a connected socket.
///
/// Theory of operation: net_map → parent proxy → resolve, guard, connect. A name is resolved once;
/// every address passes guard_address, and exactly those that pass are dialled: no second lookup
/// could give another answer. When one of several addresses is refused by the guard, all are: a
/// name that mixes public and private answers is being played with. Addresses are tried in an
/// order that alternates families, the next one kAttemptDelay after the last or as soon as it
/// failed (RFC 8305); the first to connect wins. Beyond its first socket a dial gets one of
/// kSpareSockets, which all share: names whose addresses never answer cost others nothing. With a
/// parent proxy the name is sent to it and resolved there, so the address guard does not apply; the
/// parent's own address is not guarded either, for the host's user chose it.
namespace dirbox::netns {

struct DialFailure {
  Cause cause = Cause::connect_failed;
  Error error;
};
struct Dialed {
  /// Connected, non-blocking. The loop still knows it, and tells nothing until add() gives it its
  /// next callback: remove() it before it is closed.
  UniqueFd fd;
  bool absolute_form =
      false;  ///< the peer is a parent proxy that wants plain HTTP in absolute form
  std::string proxy_authorization;  ///< for that form
};
using DialResult = tl::expected<Dialed, DialFailure>;
using DialCallback = std::function<void(DialResult)>;

enum class DialFor { tunnel, plain_http };

class Dialer {
 public:
  using Ticket = std::uint64_t;
  static constexpr std::chrono::milliseconds kAttemptDelay{250};
  /// Less than what read_capacity() (confine.h) keeps back.
  static constexpr std::size_t kSpareSockets = 128;

  /// `spec` outlives the Dialer.
  Dialer(EventLoop& loop, Resolver& resolver, const NetworkSpec& spec, ParentChoice parents);
  ~Dialer();
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  /// Calls back once, from the loop, never from here. `rules` serve the address guard.
  Ticket dial(const Host& host, std::uint16_t port, std::shared_ptr<const RuleSet> rules,
              DialFor purpose, DialCallback callback);
  /// A loopback port of the host (host_ports), past rules and guard: 127.0.0.1, else ::1.
  Ticket dial_host_loopback(std::uint16_t port, DialCallback callback);
  /// Waits until a socket whose connect(2) is under way is connected.
  Ticket adopt(UniqueFd connecting, DialCallback callback);
  void cancel(Ticket ticket);

 private:
  struct Attempt {
    Ticket ticket = 0;
    DialCallback callback;
    std::optional<HostPort> target;  // absent for host_ports and publish
    std::shared_ptr<const RuleSet> rules;
    const ParentAddress* parent = nullptr;  // dialled in place of the target
    bool absolute_form = false;             // no CONNECT to the parent
    std::string parent_head;
    std::vector<IpAddress> addresses;  // still to try, next one last
    std::uint16_t dial_port = 0;
    std::vector<UniqueFd> sockets;  // connecting, or waiting for the parent
    Resolver::Ticket lookup = 0;
    EventLoop::TimerId deadline = 0, stagger = 0, soon = 0;
    int last_error = 0;
  };

  Attempt& begin(DialCallback callback);
  void start_clock(Attempt& attempt);
  void resolve(Attempt& attempt, const Host& host, std::uint16_t port);
  void guard_and_connect(Attempt& attempt, const std::vector<IpAddress>& addresses);
  void connect(Attempt& attempt, const std::vector<IpAddress>& addresses, std::uint16_t port);
  bool connect_next(Attempt& attempt);
  bool may_open_another(const Attempt& attempt) const;
  void plan_next(Attempt& attempt);
  void try_next(Ticket ticket);
  void watch(Attempt& attempt, UniqueFd fd);
  UniqueFd take_socket(Attempt& attempt, int fd);
  void on_socket(Ticket ticket, int fd, std::uint32_t events);
  void ask_parent(Attempt& attempt, UniqueFd fd);
  void on_parent(Ticket ticket, int fd);
  void soon(Attempt& attempt, EventLoop::TimerCallback action);
  void fail_soon(Attempt& attempt, Cause cause, Error error);
  void time_out(Ticket ticket);
  void finish(Ticket ticket, DialResult result);
  static std::string text_of(const Attempt& attempt);
  Result<void> read_own_addresses();

  EventLoop& loop_;
  Resolver& resolver_;
  const NetworkSpec& spec_;
  ParentChoice parents_;
  std::map<Ticket, std::unique_ptr<Attempt>> attempts_;
  Ticket next_ = 1;
  std::size_t sockets_ = 0;  // of all attempts
  std::vector<IpAddress> own_addresses_;
  EventLoop::Clock::time_point own_addresses_until_{};
};

/// Addresses of this host's interfaces. An Error when the kernel gives none: then nobody knows what
/// is the host's own, and nothing is dialled.
Result<std::vector<IpAddress>> host_addresses();

/// Alternates families, starting with that of the first (RFC 8305 4).
std::vector<IpAddress> interleave_families(const std::vector<IpAddress>& addresses);

}  // namespace dirbox::netns
