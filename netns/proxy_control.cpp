#include "netns/proxy_control.h"

#include <algorithm>
#include <cstring>

#include "launcher/base/file.h"
#include "launcher/base/unix_socket.h"

namespace dirbox::netns {
namespace {

constexpr std::size_t kMaxSpecBytes = 8 << 20;
/// What is longer goes in a memfd: unless the sandbox has used up what its user may have of
/// descriptors on their way (ETOOMANYREFS, unix(7)), which it can at any time.
constexpr std::size_t kMaxInline = 128 << 10;

enum class OrderKind : std::uint32_t { start = 1, rules, finish };
struct WireOrder {
  OrderKind kind{};
};

template <std::size_t N>
struct WireText {
  char bytes[N]{};
  void set(std::string_view text) { text.copy(bytes, N); }
  std::string get() const { return {bytes, ::strnlen(bytes, N)}; }
};

struct WireReport {
  ProxyReport::Kind kind{};
  EventKind event{};
  Via via{};
  Cause cause{};
  std::uint16_t port = 0;
  std::int64_t time_ns = 0;
  std::uint64_t numbers[5]{};
  WireText<256> host;
  WireText<512> rule, origin;
  WireText<512> detail;
  WireText<320> fix;
};

Result<UniqueFd> make_sealed_text(std::string_view text) {
  return make_sealed_file("dirbox-network", text);
}

/// Behind the order, or in the first descriptor.
Result<NetworkSpec> read_spec(const Message& message) {
  std::string text;
  if (message.fds.empty()) {
    const auto* bytes = reinterpret_cast<const char*>(message.bytes.data());
    text.assign(bytes + sizeof(WireOrder), bytes + message.bytes.size());
  } else {
    text = TRY(read_fd(message.fds[0].get(), kMaxSpecBytes, "memfd"));
  }
  Json::Limits limits;
  limits.max_bytes = kMaxSpecBytes;
  return spec_from_json(TRY(Json::parse(text, limits)));
}

Result<void> send_order(int control, OrderKind kind, std::span<const int> fds) {
  return send_message(control, as_bytes_of(WireOrder{kind}), fds);
}

Result<WireOrder> order_of(const Message& message) {
  WireOrder order;
  if (message.bytes.size() < sizeof order) return fail("read an order", "", "wrong size");
  std::memcpy(&order, message.bytes.data(), sizeof order);
  return order;
}

}  // namespace

Result<void> send_proxy_start(int control, const NetworkSpec& spec, const ListenerSet& listeners,
                              int socket_channel) {
  UniqueFd text = TRY(make_sealed_text(spec_to_json(spec).dump()));
  int fds[] = {text.get(), socket_channel};
  TRY_VOID(send_order(control, OrderKind::start, std::span(fds, socket_channel < 0 ? 1 : 2)));
  return send_listeners(control, listeners);
}

Result<void> send_proxy_rules(int control, std::span<const RuleText> allow,
                              std::span<const RuleText> deny, std::span<const RuleText> upgrade) {
  NetworkSpec spec;
  spec.allow.assign(allow.begin(), allow.end());
  spec.deny.assign(deny.begin(), deny.end());
  spec.upgrade.assign(upgrade.begin(), upgrade.end());
  const std::string text = spec_to_json(spec).dump();
  if (text.size() <= kMaxInline) {
    const WireOrder order{OrderKind::rules};
    const auto head = as_bytes_of(order), tail = std::as_bytes(std::span(text));
    std::vector<std::byte> bytes(head.begin(), head.end());
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    return send_message(control, bytes);
  }
  UniqueFd file = TRY(make_sealed_text(text));
  int fds[] = {file.get()};
  return send_order(control, OrderKind::rules, fds);
}

Result<void> send_proxy_finish(int control) { return send_order(control, OrderKind::finish, {}); }

Result<std::optional<ProxyReport>> receive_proxy_report(int control) {
  auto message = receive_message(control, sizeof(WireReport), 0);
  if (!message) {
    if (message.error().err == EAGAIN) return std::nullopt;
    return Failure(message.error());
  }
  ProxyReport report;
  if (message->end) return report;
  WireReport wire;
  if (message->bytes.size() != sizeof wire)
    return fail("read the proxy's report", "", "wrong size");
  std::memcpy(&wire, message->bytes.data(), sizeof wire);
  if (wire.kind >= ProxyReport::Kind::gone || wire.event > EventKind::fault ||
      wire.via > Via::none || wire.cause > Cause::unknown_address) {
    return fail("read the proxy's report", "", "unknown value");
  }
  report.kind = wire.kind;
  report.text = wire.detail.get();
  report.dropped_events = wire.numbers[0];
  report.event = {wire.event,        wire.via,        wire.cause,      wire.port,
                  wire.time_ns,      wire.host.get(), wire.rule.get(), wire.origin.get(),
                  wire.detail.get(), wire.fix.get()};
  report.count = {wire.host.get(), wire.numbers[0], wire.numbers[1],
                  wire.numbers[2], wire.numbers[3], wire.numbers[4]};
  return report;
}

Result<void> send_proxy_report(int control, const ProxyReport& report) {
  WireReport wire;
  wire.kind = report.kind;
  switch (report.kind) {
    case ProxyReport::Kind::event:
      wire.event = report.event.kind;
      wire.via = report.event.via;
      wire.cause = report.event.cause;
      wire.port = report.event.port;
      wire.time_ns = report.event.time_ns;
      wire.host.set(report.event.host);
      wire.rule.set(report.event.rule);
      wire.origin.set(report.event.origin);
      wire.detail.set(report.event.detail);
      wire.fix.set(report.event.fix);
      break;
    case ProxyReport::Kind::count: {
      const NameCount& c = report.count;
      std::uint64_t numbers[] = {c.connections, c.denied, c.failed, c.uploaded, c.downloaded};
      std::copy(std::begin(numbers), std::end(numbers), wire.numbers);
      wire.host.set(c.name);
      break;
    }
    default:
      wire.detail.set(report.text);
      wire.numbers[0] = report.dropped_events;
  }
  return send_message(control, as_bytes_of(wire));
}

Result<ProxyStart> receive_proxy_start(int control) {
  Message message = TRY(receive_message(control, sizeof(WireOrder), 2));
  WireOrder order = TRY(order_of(message));
  if (order.kind != OrderKind::start || message.fds.empty()) {
    return fail("read an order", "", "expected the start");
  }
  ProxyStart start;
  start.spec = TRY(read_spec(message));
  if (message.fds.size() > 1) start.socket_channel = std::move(message.fds[1]);
  start.listeners = TRY(receive_listeners(control));
  return start;
}

Result<ProxyOrder> receive_proxy_order(int control) {
  Message message = TRY(receive_message(control, sizeof(WireOrder) + kMaxInline, 1));
  ProxyOrder out;
  if (message.end) return out;
  WireOrder order = TRY(order_of(message));
  if (order.kind == OrderKind::finish) {
    out.kind = ProxyOrder::Kind::finish;
    return out;
  }
  if (order.kind != OrderKind::rules) return fail("read an order", "", "unknown order");
  out.kind = ProxyOrder::Kind::rules;
  out.rules = TRY(read_spec(message));
  return out;
}

}  // namespace dirbox::netns
