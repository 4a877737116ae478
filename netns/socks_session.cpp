#include "netns/engine.h"
#include "netns/session.h"
#include "netns/socks5.h"

/// The SOCKS5 stages of a Session.
namespace dirbox::netns {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void Session::refuse_socks(std::string answer, const Error& error) {
  Denial denial;
  denial.cause = Cause::bad_request;
  denial.detail = error.detail.empty() ? error.message() : error.detail;
  engine_.report_denial(denial, via_);
  unwatch();
  engine_.send_farewell(std::move(client_), std::move(answer));
  end();
}

void Session::read_socks_greeting() {
  auto greeting = parse_socks_greeting(bytes_of(input_));
  if (!greeting) {
    bool socks4 = greeting.error().err == EPROTONOSUPPORT;
    return refuse_socks(socks4 ? text_of(encode_socks4_refusal()) : std::string(),
                        greeting.error());
  }
  if (!*greeting) return;
  if (!(*greeting)->offers_none) {
    return refuse_socks(text_of(encode_socks_method(SocksMethod::unacceptable)),
                        Error{"speak SOCKS5", "", 0, "the client insists on authentication", {}});
  }
  consume((*greeting)->consumed);
  stage_ = Stage::socks_request;
  if (!send_now(text_of(encode_socks_method(SocksMethod::none)))) return;
}

void Session::read_socks_request() {
  auto request = parse_socks_request(bytes_of(input_));
  if (!request) {
    return refuse_socks(text_of(encode_socks_reply(socks_reply_of(request.error()))),
                        request.error());
  }
  if (!*request) return;
  host_ = (*request)->host;
  port_ = (*request)->port;
  consume((*request)->consumed);
  open_target();
}

}  // namespace dirbox::netns
