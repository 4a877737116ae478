#include "netns/event.h"

#include <iterator>

namespace dirbox::netns {
namespace {

constexpr std::string_view kKinds[] = {"dns-denied", "denied", "failed", "limit", "rules", "fault"};
constexpr std::string_view kVias[] = {"dns",   "transparent", "http",    "connect",
                                      "socks", "host-port",   "publish", ""};

struct CauseRow {
  std::string_view name;
  std::string_view text;
};
constexpr CauseRow kCauses[] = {
    {"", ""},
    {"no-rule", "no rule allows this host"},
    {"deny-rule", "a rule denies this host"},
    {"port-closed", "the host is allowed, this port of it is not"},
    {"sni-mismatch", "the TLS server name is not the name that was connected to"},
    {"no-sni", "the TLS client sent no server name"},
    {"ech", "the TLS client encrypted its server name"},
    {"not-tls", "this port is for TLS and the client sent something else"},
    {"bad-hello", "the TLS ClientHello is malformed"},
    {"host-mismatch", "the Host of the HTTP request is not the host that was connected to"},
    {"bad-request", "the HTTP request is malformed or ambiguous"},
    {"upgrade", "no rule allows this host to switch protocols"},
    {"guarded-address", "the name resolves to an address that must not be reached by name"},
    {"resolve-failed", "the host's resolver has no address for the name"},
    {"connect-failed", "the server cannot be reached"},
    {"timeout", "the connection took too long"},
    {"too-many-connections", "the sandbox has too many connections open"},
    {"byte-limit", "the byte limit of this name is used up"},
    {"unknown-address", "the address stands for no name"},
};
static_assert(std::size(kCauses) == static_cast<std::size_t>(Cause::unknown_address) + 1);
static_assert(std::size(kKinds) == static_cast<std::size_t>(EventKind::fault) + 1);
static_assert(std::size(kVias) == static_cast<std::size_t>(Via::none) + 1);

}  // namespace

std::string_view event_kind_name(EventKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }
std::string_view via_name(Via via) { return kVias[static_cast<std::size_t>(via)]; }
std::string_view cause_name(Cause cause) { return kCauses[static_cast<std::size_t>(cause)].name; }
std::string_view cause_text(Cause cause) { return kCauses[static_cast<std::size_t>(cause)].text; }

}  // namespace dirbox::netns
