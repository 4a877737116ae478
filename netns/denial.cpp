#include "netns/denial.h"

#include <fmt/format.h>

#include <algorithm>

#include "netns/address_guard.h"

namespace dirbox::netns {
namespace {

Cause cause_of(Reason reason) {
  switch (reason) {
    case Reason::denied:
      return Cause::deny_rule;
    case Reason::port_closed:
      return Cause::port_closed;
    case Reason::allowed:
    case Reason::no_rule:
      break;
  }
  return Cause::no_rule;
}

int status_of(Cause cause) {
  switch (cause) {
    case Cause::bad_request:
      return 400;
    case Cause::resolve_failed:
    case Cause::connect_failed:
      return 502;
    case Cause::timeout:
      return 504;
    case Cause::too_many_connections:
      return 503;
    default:
      return 403;
  }
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 414:
      return "URI Too Long";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

/// Rules and details come from files and resolvers: one line, printable ASCII, bounded.
std::string header_safe(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 400)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

/// "*.example.com (a.toml:3:5)".
std::string rule_text(const Denial& denial) {
  std::string text = denial.rule;
  if (!denial.origin.empty()) text += " (" + denial.origin + ")";
  return header_safe(text);
}

constexpr std::string_view kAllow = "--allow ";

/// The option that would allow it; empty where none does: not every host can be a rule.
std::string fix_for(const Host& host, std::uint16_t port) {
  std::string rule = port == 0 ? host_text(host) : host_port_text(host, port);
  if (parse_rules({rule, {}}, false)) return std::string(kAllow) + rule;
  const auto* address = std::get_if<IpAddress>(&host);
  bool loopback = address != nullptr
                      ? classify_address(*address).address_class == AddressClass::loopback
                      : names_loopback(std::get<Hostname>(host));
  return loopback && port != 0 ? fmt::format("--host-port {}", port) : std::string();
}

std::string explanation(const Denial& denial, std::string_view session) {
  std::string text;
  if (is_policy(denial.cause)) {
    text = fmt::format(
        "dirbox blocked {}: {}.\n"
        "This is the network policy of the sandbox, not a fault of the network or the server.\n"
        "Do not retry, and do not look for another way around it.\n",
        subject_of(denial), cause_text(denial.cause));
  } else {
    text = fmt::format("dirbox could not complete {}: {}.\n", subject_of(denial),
                       cause_text(denial.cause));
  }
  if (!denial.detail.empty()) text += fmt::format("Detail: {}\n", header_safe(denial.detail));
  if (!denial.rule.empty()) text += fmt::format("Rule: {}\n", rule_text(denial));
  if (!denial.fix.empty()) {
    text += fmt::format(
        "If it is needed, ask the operator to start the sandbox with: dirbox run {}\n", denial.fix);
  }
  if (denial.fix.starts_with(kAllow)) {
    text += fmt::format("or to open it now from the host with: dirbox grant {} {}\n",
                        session.empty() ? "ID" : header_safe(session),
                        denial.fix.substr(kAllow.size()));
  }
  return text;
}

void put_u32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}
void put_string(std::string& out, std::string_view text) {
  put_u32(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

}  // namespace

Denial make_denial(const Verdict& verdict, const Host& host, std::uint16_t port) {
  Denial denial = make_denial(cause_of(verdict.reason), host, port);
  if (verdict.rule != nullptr) {
    denial.rule = verdict.rule->text();
    denial.origin = verdict.rule->origin.text();
  }
  if (verdict.reason != Reason::denied) {
    denial.fix = fix_for(host, port);
  }
  return denial;
}

Denial make_denial(Cause cause, const Host& host, std::uint16_t port, std::string detail) {
  Denial denial;
  denial.cause = cause;
  denial.host = host_text(host);
  denial.port = port;
  denial.detail = std::move(detail);
  return denial;
}

std::string subject_of(const Denial& denial) {
  if (denial.host.empty()) return "the connection";
  return fmt::format("{}:{}", denial.host, denial.port);
}

bool is_policy(Cause cause) {
  switch (cause) {
    case Cause::resolve_failed:
    case Cause::connect_failed:
    case Cause::timeout:
    case Cause::bad_request:
    case Cause::too_many_connections:
      return false;
    default:
      return true;
  }
}

std::string encode_http_denial(const Denial& denial, std::string_view session, bool with_body) {
  int status = status_of(denial.cause);
  std::string body = explanation(denial, session);
  std::string head = fmt::format(
      "HTTP/1.1 {} {}\r\n"
      "Content-Type: text/plain; charset=utf-8\r\n"
      "Content-Length: {}\r\n"
      "Cache-Control: no-store\r\n"
      "Connection: close\r\n"
      "X-Dirbox-Reason: {}\r\n",
      status, reason_phrase(status), body.size(), cause_name(denial.cause));
  if (!denial.host.empty()) head += fmt::format("X-Dirbox-Blocked: {}\r\n", subject_of(denial));
  if (!denial.rule.empty()) head += fmt::format("X-Dirbox-Rule: {}\r\n", rule_text(denial));
  if (!denial.fix.empty()) head += fmt::format("X-Dirbox-Fix: {}\r\n", denial.fix);
  if (is_policy(denial.cause)) head += "X-Dirbox-Retry: no\r\n";
  return head + "\r\n" + (with_body ? body : "");
}

std::string encode_http_error(int status, std::string_view text) {
  std::string body = fmt::format("dirbox refused the request: {}.\n", header_safe(text));
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n"
      "Connection: close\r\nX-Dirbox-Reason: {}\r\n\r\n{}",
      status, reason_phrase(status), body.size(), cause_name(Cause::bad_request), body);
}

std::string encode_ssh_denial(const Denial& denial) {
  constexpr char kDisconnect = 1;
  constexpr std::uint32_t kHostNotAllowed = 1;
  std::string text = fmt::format("dirbox blocked {}: {}. Policy, not a fault; do not retry.",
                                 subject_of(denial), cause_text(denial.cause));
  if (!denial.fix.empty()) text += fmt::format(" To allow it: dirbox run {}", denial.fix);
  std::string payload(1, kDisconnect);
  put_u32(payload, kHostNotAllowed);
  put_string(payload, header_safe(text));
  put_string(payload, "en");
  // The whole packet is a multiple of 8 bytes, with 4 bytes of padding or more.
  std::size_t padding = 8 - (payload.size() + 5) % 8;
  if (padding < 4) padding += 8;
  std::string out = "SSH-2.0-dirbox\r\n";
  put_u32(out, static_cast<std::uint32_t>(payload.size() + padding + 1));
  out += static_cast<char>(padding);
  return out + payload + std::string(padding, '\0');
}

std::string encode_tls_denial(const Denial& denial) {
  constexpr char kAlertRecord = 21, kFatal = 2, kAccessDenied = 49, kUnrecognizedName = 112;
  char description = denial.cause == Cause::sni_mismatch || denial.cause == Cause::no_sni
                         ? kUnrecognizedName
                         : kAccessDenied;
  return {kAlertRecord, 3, 3, 0, 2, kFatal, description};
}

Event event_of(const Denial& denial, Via via) {
  Event event;
  bool failed = denial.cause == Cause::resolve_failed || denial.cause == Cause::connect_failed ||
                denial.cause == Cause::timeout;
  event.kind = failed ? EventKind::failed : EventKind::denied;
  event.via = via;
  event.cause = denial.cause;
  event.host = denial.host;
  event.port = denial.port;
  event.rule = denial.rule;
  event.origin = denial.origin;
  event.detail = denial.detail;
  event.fix = denial.fix;
  return event;
}

}  // namespace dirbox::netns
