#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "launcher/base/event_loop.h"
#include "netns/dns.h"
#include "netns/keeper.h"
#include "netns/rules.h"

namespace dirbox::netns {

class Engine;

/// The sandbox's resolver, on 127.0.0.1:53 inside. Nothing it is asked leaves the host.
///
///   A of an allowed name            its fake address, after the listeners for it exist
///   other types of an allowed name  NODATA
///   PTR of a fake address           the name
///   localhost and the like          127.0.0.1 (names_loopback)
///   every other name                NXDOMAIN and extended error 15, "Blocked" (RFC 8914)
///
/// Limits: kMaxTcpClients at a time, kTcpPatience for each; kMaxWaiting answers that wait for
/// listeners; kMaxPortsPerName ports from 1024 on have a listener per name, Limits::max_listeners
/// in all.
class DnsServer {
 public:
  static constexpr std::size_t kMaxTcpClients = 64;
  static constexpr std::chrono::seconds kTcpPatience{10};
  static constexpr std::size_t kMaxWaiting = 256;
  static constexpr std::size_t kMaxPortsPerName = 64;

  explicit DnsServer(Engine& engine);
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  Result<void> serve_udp(UniqueFd socket);
  /// A connection that the TCP listener accepted.
  void serve_tcp(UniqueFd client);
  void check_deadlines(std::chrono::steady_clock::time_point now);

 private:
  using Reply = std::function<void(std::vector<std::byte>)>;
  struct TcpClient {
    std::uint64_t id = 0;
    UniqueFd fd;
    std::vector<std::byte> input;
    std::chrono::steady_clock::time_point deadline;
  };

  void on_udp();
  void on_tcp(TcpClient& client);
  void drop(TcpClient& client);
  void answer(std::span<const std::byte> message, Reply reply);
  void answer_name(const DnsQuery& query, Reply reply);
  std::vector<std::byte> answer_pointer(const DnsQuery& query) const;
  void ensure_listeners(const Hostname& name, const IpAddress& address,
                        const std::function<void()>& done);
  void finish_listener(const IpAddress& address, std::uint16_t port, Result<UniqueFd> socket);
  bool has_room();
  void add_listener(const IpAddress& address, std::uint16_t port, Result<UniqueFd> socket);
  void report_denied(const Hostname& name, const Verdict& verdict);

  Engine& engine_;
  UniqueFd udp_;
  Keeper<TcpClient> tcp_;
  std::set<std::pair<IpAddress, std::uint16_t>> listening_;  // and asked for
  /// Listeners of an address that are being made, and the answers that wait for them.
  struct Making {
    std::size_t left = 0;
    std::vector<std::function<void()>> answers;
  };
  std::map<IpAddress, Making> making_;
  std::size_t waiting_ = 0;  // answers in making_
  bool reported_full_ = false, reported_full_table_ = false;
  std::map<std::string, std::chrono::steady_clock::time_point> reported_;
};

}  // namespace dirbox::netns
