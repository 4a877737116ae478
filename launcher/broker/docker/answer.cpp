#include "launcher/broker/docker/answer.h"

#include <fmt/format.h>

#include "launcher/base/json.h"
#include "launcher/broker/docker/refusal.h"
#include "netns/http1_syntax.h"

namespace dirbox::docker {
namespace {

constexpr std::string_view kPassed[] = {
    "Content-Type", "Api-Version", "Docker-Experimental",
    "Ostype",       "OSType",      "X-Docker-Container-Path-Stat",
};

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    default:
      return "Refused";
  }
}

}  // namespace

std::string json_answer(int status, std::string_view body, bool keep_alive) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
      "Connection: {}\r\n\r\n{}",
      status, reason_of(status), body.size(), keep_alive ? "keep-alive" : "close", body);
}

std::string refusal_answer(const Error& error, bool head, bool keep_alive) {
  int status = status_of(error);
  if (head) {
    return fmt::format("HTTP/1.1 {} {}\r\nContent-Length: 0\r\nConnection: {}\r\n\r\n", status,
                       reason_of(status), keep_alive ? "keep-alive" : "close");
  }
  Json message = JsonObject{{"message", sentence_of(error)}};
  return json_answer(status, message.dump() + "\n", keep_alive);
}

bool can_keep(const netns::HttpResponse& response, const Request& request) {
  return request.keep_alive && response.status != 101 &&
         response.body.kind != netns::BodyKind::until_close;
}

std::string relayed_head(const netns::HttpResponse& response, bool head, bool keep_alive) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", response.status, response.reason);
  for (std::string_view name : kPassed) {
    for (const netns::HttpHeader& header : response.headers) {
      if (netns::http_syntax::equals_ignoring_case(header.name, name))
        out += fmt::format("{}: {}\r\n", name, header.value);
    }
  }
  if (response.status == 101) return out + "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
  if (response.header("api-version") != nullptr) out += "Builder-Version: 1\r\n";
  if (response.body.kind == netns::BodyKind::chunked) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (response.body.kind == netns::BodyKind::length || head) {
    out += fmt::format("Content-Length: {}\r\n", response.body.length);
  }
  return out + fmt::format("Connection: {}\r\n\r\n", keep_alive ? "keep-alive" : "close");
}

std::string request_bytes(const Outgoing& outgoing) {
  std::string target = outgoing.version != 0 ? fmt::format("/v1.{}", outgoing.version) : "";
  target += "/" + outgoing.path;
  if (!outgoing.query.empty()) target += "?" + encode_query(outgoing.query);
  std::string out = fmt::format("{} {} HTTP/1.1\r\nHost: docker\r\nUser-Agent: dirbox\r\n",
                                outgoing.method, target);
  out += outgoing.upgrade ? "Connection: Upgrade\r\nUpgrade: tcp\r\n" : "Connection: close\r\n";
  if (!outgoing.content_type.empty())
    out += fmt::format("Content-Type: {}\r\n", outgoing.content_type);
  if (outgoing.chunked) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (!outgoing.body.empty() || outgoing.method == "POST" || outgoing.method == "PUT") {
    out += fmt::format("Content-Length: {}\r\n", outgoing.body.size());
  }
  return out + "\r\n" + outgoing.body;
}

}  // namespace dirbox::docker
