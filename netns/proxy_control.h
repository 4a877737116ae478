#pragma once
#include <chrono>
#include <optional>
#include <span>

#include "launcher/base/result.h"
#include "netns/event.h"
#include "netns/setup.h"
#include "netns/spec.h"

/// What the supervisor and `dirbox __proxy` say to each other, over one SOCK_SEQPACKET pair.
///
///   supervisor                               proxy
///   start: spec (memfd), socket channel ──►
///   listeners (send_listeners) ───────────►
///                                       ◄── ready | failed        once
///                                       ◄── event                 any time
///   rules: complete set ──────────────────►
///                                       ◄── rules_accepted | rules_refused
///   finish ───────────────────────────────►
///                                       ◄── count                 per name
///                                       ◄── finished              and it exits
///
/// The proxy may be hostile by the time it talks (it parses hostile bytes), so its messages have
/// one fixed form, without lengths or pointers to trust; the supervisor's may be JSON.
namespace dirbox::netns {

/// How long the proxy passes on what the command had sent when it ended, before `finished`.
constexpr std::chrono::seconds kDrainTime{2};

// The supervisor's side.

/// `socket_channel`: the proxy's end of the pair to the sandbox's init (socket_request.h); -1 where
/// there is none. The descriptors are duplicated into the message: the caller closes its own.
Result<void> send_proxy_start(int control, const NetworkSpec& spec, const ListenerSet& listeners,
                              int socket_channel);
Result<void> send_proxy_rules(int control, std::span<const RuleText> allow,
                              std::span<const RuleText> deny, std::span<const RuleText> upgrade);
Result<void> send_proxy_finish(int control);

struct ProxyReport {
  enum class Kind : std::uint8_t {
    ready,
    failed,  ///< `text`; it exits
    event,
    rules_accepted,
    rules_refused,  ///< `text`; the old set stays
    count,
    finished,  ///< `dropped_events`
    gone,      ///< end of file: it crashed or was killed; the network is closed
  };
  Kind kind = Kind::gone;
  Event event;
  NameCount count;
  std::uint64_t dropped_events = 0;
  std::string text;
};
/// nullopt when a non-blocking `control` has nothing. A malformed message is an error: kill the
/// proxy. Texts may hold any byte but NUL: escape_for_terminal before printing.
Result<std::optional<ProxyReport>> receive_proxy_report(int control);

// The proxy's side.

struct ProxyStart {
  NetworkSpec spec;
  ListenerSet listeners;
  UniqueFd socket_channel;
};
/// Blocks.
Result<ProxyStart> receive_proxy_start(int control);

struct ProxyOrder {
  enum class Kind : std::uint8_t { rules, finish, gone };
  Kind kind = Kind::gone;
  NetworkSpec rules;  ///< allow, deny and upgrade of it
};
Result<ProxyOrder> receive_proxy_order(int control);
/// EAGAIN when the supervisor does not read.
Result<void> send_proxy_report(int control, const ProxyReport& report);

}  // namespace dirbox::netns
