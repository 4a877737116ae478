#include <fmt/format.h>

#include "netns/engine.h"
#include "netns/session.h"

/// The check of a ClientHello against the name that was allowed.
namespace dirbox::netns {

bool Session::gated() const {
  if (via_ == Via::host_port || via_ == Via::publish) return false;
  return engine_.tls_check(port_) != TlsCheck::off;
}

void Session::read_hello() {
  auto fresh = std::string_view(input_).substr(hello_fed_);
  hello_fed_ = input_.size();
  TlsHelloStatus status = hello_.feed(std::as_bytes(std::span(fresh.data(), fresh.size())));
  if (status == TlsHelloStatus::need_more) return;
  if (auto denial = judge_hello()) return refuse(*denial);
  if (rules_changed()) {
    if (auto denial = verdict()) return refuse(*denial);
    if (upstream_.valid()) return dial_again();
  }
  if (upstream_.valid()) return start_flushing();
  dial();
}

std::optional<Denial> Session::judge_hello() const {
  auto deny = [&](Cause cause, std::string detail = {}) {
    return make_denial(cause, *host_, port_, std::move(detail));
  };
  switch (hello_.status()) {
    case TlsHelloStatus::complete:
      break;
    case TlsHelloStatus::not_tls:
      if (engine_.spec().allow_non_tls) return std::nullopt;
      return deny(Cause::not_tls);
    case TlsHelloStatus::too_large:
      return deny(Cause::bad_hello, "it is too large");
    case TlsHelloStatus::need_more:
    case TlsHelloStatus::malformed:
      return deny(Cause::bad_hello, std::string(hello_.problem()));
  }
  const ClientHello& hello = hello_.hello();
  if (hello.ech && !engine_.spec().allow_ech) return deny(Cause::ech);
  const auto* name = std::get_if<Hostname>(&*host_);
  // A rule that is an address names no server: there is nothing to compare.
  if (name == nullptr) return std::nullopt;
  if (!hello.server_name) {
    if (engine_.tls_check(port_) == TlsCheck::allow_no_sni) return std::nullopt;
    return deny(Cause::no_sni);
  }
  if (*hello.server_name == *name) return std::nullopt;
  return deny(Cause::sni_mismatch, fmt::format("the server name is {}", hello.server_name->text()));
}

}  // namespace dirbox::netns
