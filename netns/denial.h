#pragma once
#include <string>

#include "netns/event.h"
#include "netns/host.h"
#include "netns/rules.h"

/// A refusal, and how each protocol says it. The texts are for a program and for a model that reads
/// them: what was blocked, that it is policy and no fault, that trying again is of no use, and
/// which rule would allow it.
namespace dirbox::netns {

struct Denial {
  Cause cause = Cause::no_rule;
  std::string host;  ///< canonical; empty when what the client sent is no valid host
  std::uint16_t port = 0;
  std::string rule;    ///< "*.example.com"; empty when no rule is involved
  std::string origin;  ///< where it stands: "a.toml:3:5"
  std::string detail;  ///< more than cause_text says
  std::string fix;     ///< "--allow example.com:443"; empty when no rule would help
};

/// The Denial for a negative verdict.
Denial make_denial(const Verdict& verdict, const Host& host, std::uint16_t port);
Denial make_denial(Cause cause, const Host& host, std::uint16_t port, std::string detail = {});
/// "example.com:443", or "the connection".
std::string subject_of(const Denial& denial);

/// True for what policy decides; false for what a network or server can do as well.
bool is_policy(Cause cause);

/// A whole HTTP/1.1 answer with "Connection: close": 403 for policy, 400 for a bad request, 502 and
/// 504 for failures. `session` is what `dirbox grant` takes. `with_body` is false for HEAD.
std::string encode_http_denial(const Denial& denial, std::string_view session,
                               bool with_body = true);
/// The same with another status, for heads that cannot be parsed.
std::string encode_http_error(int status, std::string_view text);

/// Identification line and SSH_MSG_DISCONNECT (RFC 4253 4.2, 6, 11.1), which OpenSSH prints as
/// "Received disconnect from ...: <reason>".
std::string encode_ssh_denial(const Denial& denial);
/// A fatal TLS alert: access_denied (RFC 8446 6.2), unrecognized_name (RFC 6066 3) for
/// sni_mismatch.
std::string encode_tls_denial(const Denial& denial);

Event event_of(const Denial& denial, Via via);

}  // namespace dirbox::netns
