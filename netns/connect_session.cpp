#include "netns/engine.h"
#include "netns/session.h"

/// The HTTP stage of a Session on the explicit port: CONNECT stays here, the rest goes on.
namespace dirbox::netns {

void Session::read_http_head() {
  auto refuse_head = [&](const Error& error) {
    Denial denial;
    denial.cause = Cause::bad_request;
    denial.detail = error.detail.empty() ? error.message() : error.detail;
    engine_.report_denial(denial, via_);
    unwatch();
    engine_.send_farewell(std::move(client_),
                          encode_http_error(http_status_of(error), denial.detail));
    end();
  };
  auto length = scanner_.scan(input_);
  if (!length) return refuse_head(length.error());
  if (!*length) return;
  auto request = parse_http_request(std::string_view(input_).substr(0, **length));
  if (!request) return refuse_head(request.error());
  if (request->form != HttpTargetForm::authority) return hand_to_http(false);
  consume(**length);
  host_ = request->target->host;
  port_ = request->port_or(0);
  open_target();
}

void Session::hand_to_http(bool fixed) {
  std::optional<HostPort> target;
  if (fixed) target = HostPort{*host_, port_};
  unwatch();
  Via via = explicit_ && !fixed ? Via::http : via_;
  auto session = std::make_unique<HttpSession>(engine_, std::move(client_), via, std::move(target),
                                               std::move(input_));
  end();
  engine_.start_http(std::move(session));
}

}  // namespace dirbox::netns
