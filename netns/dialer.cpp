#include "netns/dialer.h"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "netns/address_guard.h"
#include "netns/socket_address.h"

namespace dirbox::netns {
namespace {

constexpr std::chrono::seconds kOwnAddressesLife{30};
constexpr std::size_t kMaxParentHead = 16 * 1024;

int socket_error(int fd) {
  int err = 0;
  socklen_t length = sizeof err;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &length) != 0) return errno;
  return err;
}

}  // namespace

Result<std::vector<IpAddress>> host_addresses() {
  std::vector<IpAddress> out;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return fail_errno("read the host's own addresses", "");
  for (ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    if (auto endpoint = endpoint_of(*at->ifa_addr)) out.push_back(endpoint->address);
  }
  ::freeifaddrs(list);
  return out;
}

std::vector<IpAddress> interleave_families(const std::vector<IpAddress>& addresses) {
  std::vector<IpAddress> first, second, out;
  for (const IpAddress& a : addresses) {
    (a.is_v4() == addresses.front().is_v4() ? first : second).push_back(a);
  }
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) out.push_back(first[i]);
    if (i < second.size()) out.push_back(second[i]);
  }
  return out;
}

Dialer::Dialer(EventLoop& loop, Resolver& resolver, const NetworkSpec& spec, ParentChoice parents)
    : loop_(loop), resolver_(resolver), spec_(spec), parents_(std::move(parents)) {}

Dialer::~Dialer() {
  while (!attempts_.empty()) cancel(attempts_.begin()->first);
}

Dialer::Attempt& Dialer::begin(DialCallback callback) {
  Ticket ticket = next_++;
  auto attempt = std::make_unique<Attempt>();
  attempt->ticket = ticket;
  attempt->callback = std::move(callback);
  return *attempts_.emplace(ticket, std::move(attempt)).first->second;
}

/// The name is resolved, which had a time of its own (Resolver).
void Dialer::start_clock(Attempt& attempt) {
  attempt.deadline = loop_.after(spec_.limits.connect_timeout,
                                 [this, ticket = attempt.ticket] { time_out(ticket); });
}

Dialer::Ticket Dialer::dial(const Host& host, std::uint16_t port,
                            std::shared_ptr<const RuleSet> rules, DialFor purpose,
                            DialCallback callback) {
  Attempt& attempt = begin(std::move(callback));
  attempt.target = HostPort{host, port};
  attempt.rules = std::move(rules);
  for (const NetMap& map : spec_.net_map) {
    if (map.port != port || map.name != host_text(host)) continue;
    auto address = parse_ip(map.address);
    if (address) {
      connect(attempt, {*address}, map.address_port);
    } else {
      fail_soon(attempt, Cause::connect_failed, address.error());
    }
    return attempt.ticket;
  }
  bool plain = purpose == DialFor::plain_http;
  if (const ParentAddress* parent = parents_.choose(host, port, plain)) {
    attempt.parent = parent;
    attempt.absolute_form = plain;
    resolve(attempt, parent->host, parent->port);
  } else {
    resolve(attempt, host, port);
  }
  return attempt.ticket;
}

Dialer::Ticket Dialer::dial_host_loopback(std::uint16_t port, DialCallback callback) {
  Attempt& attempt = begin(std::move(callback));
  connect(attempt,
          {IpAddress::v4({127, 0, 0, 1}),
           IpAddress::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})},
          port);
  return attempt.ticket;
}

Dialer::Ticket Dialer::adopt(UniqueFd connecting, DialCallback callback) {
  Attempt& attempt = begin(std::move(callback));
  Ticket ticket = attempt.ticket;
  choose_local_congestion_control(connecting.get());
  start_clock(attempt);
  watch(attempt, std::move(connecting));
  return ticket;
}

void Dialer::cancel(Ticket ticket) {
  auto found = attempts_.extract(ticket);
  if (found.empty()) return;
  Attempt& attempt = *found.mapped();
  for (auto timer : {attempt.deadline, attempt.stagger, attempt.soon}) loop_.cancel(timer);
  resolver_.cancel(attempt.lookup);
  for (UniqueFd& fd : attempt.sockets) loop_.remove(fd.get());
  sockets_ -= attempt.sockets.size();
}

void Dialer::finish(Ticket ticket, DialResult result) {
  auto found = attempts_.find(ticket);
  if (found == attempts_.end()) return;
  DialCallback callback = std::move(found->second->callback);
  cancel(ticket);
  callback(std::move(result));
}

void Dialer::time_out(Ticket ticket) {
  auto found = attempts_.find(ticket);
  if (found == attempts_.end()) return;
  finish(ticket,
         tl::unexpected(DialFailure{
             Cause::timeout, fail_errno("connect", text_of(*found->second), ETIMEDOUT).value()}));
}

std::string Dialer::text_of(const Attempt& attempt) {
  if (!attempt.target) return "";
  return host_port_text(attempt.target->host, attempt.target->port.value_or(0));
}

void Dialer::soon(Attempt& attempt, EventLoop::TimerCallback action) {
  attempt.soon = loop_.after(std::chrono::milliseconds(0), std::move(action));
}

void Dialer::fail_soon(Attempt& attempt, Cause cause, Error error) {
  soon(attempt, [this, ticket = attempt.ticket, cause, error = std::move(error)] {
    finish(ticket, tl::unexpected(DialFailure{cause, error}));
  });
}

/// Under way before this returns; whether it succeeds is told from the loop.
void Dialer::connect(Attempt& attempt, const std::vector<IpAddress>& addresses,
                     std::uint16_t port) {
  attempt.addresses = interleave_families(addresses);
  std::reverse(attempt.addresses.begin(), attempt.addresses.end());
  attempt.dial_port = port;
  start_clock(attempt);
  if (!connect_next(attempt)) soon(attempt, [this, t = attempt.ticket] { try_next(t); });
}

void Dialer::resolve(Attempt& attempt, const Host& host, std::uint16_t port) {
  attempt.dial_port = port;
  if (const auto* address = std::get_if<IpAddress>(&host)) {
    return guard_and_connect(attempt, {*address});
  }
  attempt.lookup = resolver_.resolve(
      std::get<Hostname>(host), spec_.limits.resolve_timeout,
      [this, ticket = attempt.ticket](const Result<Resolver::Addresses>& addresses) {
        auto found = attempts_.find(ticket);
        if (found == attempts_.end()) return;
        if (addresses) return guard_and_connect(*found->second, *addresses);
        Cause cause = addresses.error().err == ETIMEDOUT ? Cause::timeout : Cause::resolve_failed;
        finish(ticket, tl::unexpected(DialFailure{cause, addresses.error()}));
      });
}

void Dialer::guard_and_connect(Attempt& attempt, const std::vector<IpAddress>& addresses) {
  // What the host's user configured as parent proxy is commonly a private address.
  if (attempt.parent == nullptr) {
    if (auto read = read_own_addresses(); !read) {
      return fail_soon(attempt, Cause::connect_failed, read.error());
    }
    for (const IpAddress& address : addresses) {
      auto why = guard_address(address, attempt.dial_port, own_addresses_, *attempt.rules);
      if (!why) continue;
      return fail_soon(attempt, Cause::guarded_address,
                       Error{"connect", text_of(attempt), 0, *why, {}});
    }
  }
  connect(attempt, addresses, attempt.dial_port);
}

Result<void> Dialer::read_own_addresses() {
  auto now = EventLoop::Clock::now();
  if (now < own_addresses_until_) return {};
  own_addresses_ = TRY(host_addresses());
  own_addresses_until_ = now + kOwnAddressesLife;
  return {};
}

bool Dialer::may_open_another(const Attempt& attempt) const {
  return attempt.sockets.empty() || sockets_ < attempts_.size() + kSpareSockets;
}

void Dialer::plan_next(Attempt& attempt) {
  attempt.stagger =
      loop_.after(kAttemptDelay, [this, ticket = attempt.ticket] { try_next(ticket); });
}

/// False when no address is left to try.
bool Dialer::connect_next(Attempt& attempt) {
  loop_.cancel(attempt.stagger);
  if (!attempt.addresses.empty() && !may_open_another(attempt)) {
    plan_next(attempt);
    return true;
  }
  while (!attempt.addresses.empty()) {
    IpAddress address = attempt.addresses.back();
    attempt.addresses.pop_back();
    SocketAddress to = socket_address(address, attempt.dial_port);
    UniqueFd fd(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    bool local = classify_address(address).address_class == AddressClass::loopback;
    if (fd.valid() && local) choose_local_congestion_control(fd.get());
    if (fd.valid() && (::connect(fd.get(), to.get(), to.length) == 0 || errno == EINPROGRESS)) {
      watch(attempt, std::move(fd));
      if (!attempt.addresses.empty()) plan_next(attempt);
      return true;
    }
    attempt.last_error = errno;
  }
  return false;
}

void Dialer::try_next(Ticket ticket) {
  auto found = attempts_.find(ticket);
  if (found == attempts_.end()) return;
  Attempt& attempt = *found->second;
  if (connect_next(attempt) || !attempt.sockets.empty()) return;
  finish(ticket, tl::unexpected(DialFailure{
                     Cause::connect_failed,
                     fail_errno("connect", text_of(attempt), attempt.last_error).value()}));
}

void Dialer::watch(Attempt& attempt, UniqueFd fd) {
  int raw = fd.get();
  // While the handshake is under way: it costs no time then.
  constexpr int on = 1;
  if (::setsockopt(raw, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
    return fail_soon(attempt, Cause::connect_failed, fail_errno("prepare a socket", "").value());
  }
  attempt.sockets.push_back(std::move(fd));
  ++sockets_;
  // Once: its next owner need not be there yet when it is ready again.
  auto added = loop_.add(raw, EPOLLOUT | EPOLLONESHOT,
                         [this, ticket = attempt.ticket, raw](std::uint32_t events) {
                           on_socket(ticket, raw, events);
                         });
  if (!added) fail_soon(attempt, Cause::connect_failed, added.error());
}

UniqueFd Dialer::take_socket(Attempt& attempt, int fd) {
  for (auto at = attempt.sockets.begin(); at != attempt.sockets.end(); ++at) {
    if (at->get() != fd) continue;
    UniqueFd out = std::move(*at);
    attempt.sockets.erase(at);
    --sockets_;
    return out;
  }
  return UniqueFd();
}

void Dialer::on_socket(Ticket ticket, int raw, std::uint32_t events) {
  auto found = attempts_.find(ticket);
  if (found == attempts_.end()) return;
  Attempt& attempt = *found->second;
  UniqueFd fd = take_socket(attempt, raw);
  bool suspect = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (int err = suspect ? socket_error(raw) : 0; err != 0) {
    attempt.last_error = err;
    loop_.remove(raw);
    return try_next(ticket);
  }
  for (UniqueFd& other : attempt.sockets) loop_.remove(other.get());
  sockets_ -= attempt.sockets.size();
  attempt.sockets.clear();
  attempt.addresses.clear();
  loop_.cancel(attempt.stagger);
  if (attempt.parent != nullptr && !attempt.absolute_form)
    return ask_parent(attempt, std::move(fd));
  Dialed dialed{std::move(fd), attempt.absolute_form, {}};
  if (attempt.parent != nullptr) dialed.proxy_authorization = attempt.parent->authorization;
  finish(ticket, std::move(dialed));
}

void Dialer::ask_parent(Attempt& attempt, UniqueFd fd) {
  std::string head = encode_parent_connect(*attempt.parent, attempt.target->host,
                                           attempt.target->port.value_or(0));
  // A fresh socket buffer takes a head whole or the connection is broken.
  if (::send(fd.get(), head.data(), head.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(head.size())) {
    loop_.remove(fd.get());
    return fail_soon(attempt, Cause::connect_failed,
                     fail_errno("ask the parent proxy", text_of(attempt)).value());
  }
  int raw = fd.get();
  attempt.sockets.push_back(std::move(fd));
  ++sockets_;
  auto added = loop_.add(raw, EPOLLIN, [this, ticket = attempt.ticket, raw](std::uint32_t) {
    on_parent(ticket, raw);
  });
  if (!added) fail_soon(attempt, Cause::connect_failed, added.error());
}

/// Reads up to the end of the parent's head and not a byte more: what follows is the server's.
void Dialer::on_parent(Ticket ticket, int raw) {
  auto found = attempts_.find(ticket);
  if (found == attempts_.end()) return;
  Attempt& attempt = *found->second;
  auto refuse = [&](std::string detail) {
    finish(
        ticket,
        tl::unexpected(DialFailure{
            Cause::connect_failed,
            Error{
                "connect through the parent proxy", text_of(attempt), 0, std::move(detail), {}}}));
  };
  char buffer[4096];
  ssize_t n = ::recv(raw, buffer, sizeof buffer, MSG_PEEK);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return refuse("it closed the connection");
  std::string seen = attempt.parent_head + std::string(buffer, static_cast<std::size_t>(n));
  auto end = seen.find("\r\n\r\n");
  std::size_t take =
      end == std::string::npos ? static_cast<std::size_t>(n) : end + 4 - attempt.parent_head.size();
  if (::recv(raw, buffer, take, 0) != static_cast<ssize_t>(take)) return refuse("short read");
  attempt.parent_head = std::move(seen);
  if (end == std::string::npos) {
    if (attempt.parent_head.size() > kMaxParentHead) refuse("its answer is too long");
    return;
  }
  std::string_view line = std::string_view(attempt.parent_head);
  line = line.substr(0, line.find("\r\n"));
  if (!line.starts_with("HTTP/1.") || line.size() < 12 || line.substr(8, 2) != " 2") {
    return refuse(fmt::format("it answered \"{}\"", line.substr(0, 80)));
  }
  loop_.remove(raw);
  finish(ticket, Dialed{take_socket(attempt, raw), false, {}});
}

}  // namespace dirbox::netns
