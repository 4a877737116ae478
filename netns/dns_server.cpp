#include "netns/dns_server.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "netns/engine.h"

namespace dirbox::netns {
namespace {

constexpr std::uint16_t kFirstUnprivilegedPort = 1024;
constexpr std::size_t kMaxReported = 1024;
constexpr std::chrono::seconds kReportAgain{10};
constexpr int kDatagramsPerTurn = 32;

}  // namespace

DnsServer::DnsServer(Engine& engine) : engine_(engine), tcp_(engine.loop()) {}

DnsServer::~DnsServer() {
  engine_.loop().remove(udp_.get());
  tcp_.for_each([&](TcpClient& client) { engine_.loop().remove(client.fd.get()); });
}

Result<void> DnsServer::serve_udp(UniqueFd socket) {
  udp_ = std::move(socket);
  return engine_.loop().add(udp_.get(), EPOLLIN, [this](std::uint32_t) { on_udp(); });
}

void DnsServer::on_udp() {
  std::byte buffer[kDnsMaxQuery + 1];
  for (int i = 0; i < kDatagramsPerTurn; ++i) {
    sockaddr_in from{};
    socklen_t length = sizeof from;
    auto* generic = reinterpret_cast<sockaddr*>(&from);
    ssize_t n = ::recvfrom(udp_.get(), buffer, sizeof buffer, 0, generic, &length);
    if (n < 0) return;  // EAGAIN, or an ICMP error of an earlier answer
    answer(
        std::span(buffer, static_cast<std::size_t>(n)), [this, from](std::vector<std::byte> bytes) {
          if (bytes.empty()) return;
          auto* to = reinterpret_cast<const sockaddr*>(&from);
          // A lost answer is asked for again, as with any resolver.
          if (::sendto(udp_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL, to, sizeof from) < 0) {
            return;
          }
        });
  }
}

void DnsServer::serve_tcp(UniqueFd fd) {
  if (tcp_.size() >= kMaxTcpClients) drop(*tcp_.oldest());
  auto made = std::make_unique<TcpClient>();
  made->fd = std::move(fd);
  made->deadline = std::chrono::steady_clock::now() + kTcpPatience;
  TcpClient& client = tcp_.add(std::move(made));
  auto added = engine_.loop().add(client.fd.get(), EPOLLIN,
                                  [this, &client](std::uint32_t) { on_tcp(client); });
  if (!added) drop(client);
}

void DnsServer::drop(TcpClient& client) {
  engine_.loop().remove(client.fd.get());
  client.fd.reset();
  tcp_.retire(client);
}

void DnsServer::on_tcp(TcpClient& client) {
  if (!client.fd.valid()) return;
  std::byte buffer[2048];
  ssize_t n = ::recv(client.fd.get(), buffer, sizeof buffer, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return drop(client);
  client.input.insert(client.input.end(), buffer, buffer + n);
  while (client.fd.valid()) {
    auto message = dns_tcp_message(client.input);
    if (!message) return drop(client);
    if (!*message) return;
    std::uint64_t id = client.id;
    answer(**message, [this, id](std::vector<std::byte> bytes) {
      TcpClient* to = tcp_.find(id);  // it may be gone by then
      if (to == nullptr || bytes.empty()) return;
      auto framed = dns_tcp_frame(bytes);
      ssize_t sent = ::send(to->fd.get(), framed.data(), framed.size(), MSG_NOSIGNAL);
      if (sent != static_cast<ssize_t>(framed.size())) drop(*to);
    });
    client.input.erase(client.input.begin(),
                       client.input.begin() + static_cast<std::ptrdiff_t>((*message)->size() + 2));
  }
}

void DnsServer::check_deadlines(std::chrono::steady_clock::time_point now) {
  tcp_.for_each([&](TcpClient& client) {
    if (now >= client.deadline) drop(client);
  });
}

void DnsServer::answer(std::span<const std::byte> message, Reply reply) {
  auto query = parse_dns_query(message);
  if (!query) return reply(encode_dns_parse_failure(message, query.error()));
  if (query->edns_version != 0) {
    return reply(encode_dns_rcode(*query, DnsRcode::bad_version));
  }
  if (query->qclass != kDnsClassIn || query->type == dns_type::kAxfr ||
      query->type == dns_type::kIxfr) {
    return reply(encode_dns_rcode(*query, DnsRcode::refused));
  }
  if (!query->name) return reply(encode_dns_blocked(*query, "not a host name"));
  if (names_loopback(*query->name)) {
    if (query->type != dns_type::kA) return reply(encode_dns_no_data(*query));
    return reply(encode_dns_address(*query, IpAddress::v4({127, 0, 0, 1})));
  }
  if (query->type == dns_type::kPtr) return reply(answer_pointer(*query));
  answer_name(*query, std::move(reply));
}

std::vector<std::byte> DnsServer::answer_pointer(const DnsQuery& query) const {
  auto address = dns_reverse_address(*query.name);
  const Hostname* name = address ? engine_.fakes().find(*address) : nullptr;
  if (name == nullptr) return encode_dns_blocked(query, "no name for this address");
  return encode_dns_pointer(query, *name);
}

void DnsServer::answer_name(const DnsQuery& query, Reply reply) {
  const Hostname& name = *query.name;
  Verdict verdict = engine_.policy().rules->name_allowed(name);
  if (!verdict.allowed) {
    report_denied(name, verdict);
    std::string text = "dirbox: policy, not a fault: no rule allows " + name.text() +
                       "; to allow it: --allow " + name.text();
    return reply(encode_dns_blocked(query, text));
  }
  if (query.type != dns_type::kA) return reply(encode_dns_no_data(query));
  auto address = engine_.fakes().assign(name);
  if (!address && !reported_full_table_) {
    reported_full_table_ = true;
    engine_.report({.kind = EventKind::limit,
                    .via = Via::dns,
                    .detail = "no address for a name beyond " +
                              std::to_string(FakeTable::kMaxNames) +
                              ": the explicit proxy reaches it"});
  }
  if (!address || waiting_ >= kMaxWaiting) {
    return reply(encode_dns_rcode(query, DnsRcode::server_failure));
  }
  ensure_listeners(name, *address, [query, address = *address, reply = std::move(reply)] {
    reply(encode_dns_address(query, address));
  });
}

/// Calls `done` when a listener stands for every port of `name` from 1024 on: at once when they do,
/// and not before those that another question asked for.
void DnsServer::ensure_listeners(const Hostname& name, const IpAddress& address,
                                 const std::function<void()>& done) {
  std::vector<std::uint16_t> missing;
  std::size_t seen = 0;
  for (const PortRange& range : engine_.policy().rules->ports_of(name)) {
    std::uint32_t first = std::max(range.first, kFirstUnprivilegedPort);
    for (std::uint32_t at = first; at <= range.last && seen < kMaxPortsPerName; ++at, ++seen) {
      auto port = static_cast<std::uint16_t>(at);
      if (engine_.listens_everywhere(port) || listening_.contains({address, port})) continue;
      if (!has_room()) break;
      listening_.emplace(address, port);
      missing.push_back(port);
    }
  }
  if (missing.empty() && !making_.contains(address)) return done();
  Making& making = making_[address];
  making.left += missing.size();
  making.answers.push_back(done);
  ++waiting_;
  for (std::uint16_t port : missing) {
    engine_.sockets().listen(address, port, [this, address, port](Result<UniqueFd> socket) {
      finish_listener(address, port, std::move(socket));
    });
  }
}

void DnsServer::finish_listener(const IpAddress& address, std::uint16_t port,
                                Result<UniqueFd> socket) {
  add_listener(address, port, std::move(socket));
  auto found = making_.find(address);
  if (found == making_.end() || --found->second.left != 0) return;
  Making made = std::move(making_.extract(found).mapped());
  waiting_ -= made.answers.size();
  for (const auto& answer : made.answers) answer();
}

/// The name resolves all the same: its other ports, and the explicit proxy, work.
bool DnsServer::has_room() {
  std::size_t most = engine_.spec().limits.max_listeners;
  if (listening_.size() < most) return true;
  if (!reported_full_) {
    reported_full_ = true;
    engine_.report({.kind = EventKind::limit,
                    .via = Via::dns,
                    .detail = "no listener for a port above 1023 beyond " + std::to_string(most) +
                              ": the explicit proxy reaches it"});
  }
  return false;
}

void DnsServer::add_listener(const IpAddress& address, std::uint16_t port,
                             Result<UniqueFd> socket) {
  Result<void> added;
  if (socket) {
    added = engine_.add_listener({ListenerKind::transparent, port, std::move(*socket)});
  } else {
    added = Failure(socket.error());
  }
  if (added) return;
  listening_.erase({address, port});
  const Hostname* name = engine_.fakes().find(address);
  engine_.report({.kind = EventKind::fault,
                  .via = Via::dns,
                  .port = port,
                  .host = name != nullptr ? name->text() : address.text(),
                  .detail = added.error().message()});
}

/// Programs ask for A and AAAA, and again: one event per name and kReportAgain.
void DnsServer::report_denied(const Hostname& name, const Verdict& verdict) {
  auto now = std::chrono::steady_clock::now();
  if (reported_.size() >= kMaxReported) reported_.clear();
  auto [at, fresh] = reported_.emplace(name.text(), now);
  if (!fresh && now - at->second < kReportAgain) return;
  at->second = now;
  Denial denial = make_denial(verdict, name, 0);
  if (!denial.fix.empty()) denial.fix = "--allow " + name.text();
  Event event = event_of(denial, Via::dns);
  event.kind = EventKind::dns_denied;
  engine_.report(std::move(event));
}

}  // namespace dirbox::netns
