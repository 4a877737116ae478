#pragma once
#include <string>
#include <string_view>

#include "launcher/broker/docker/request.h"
#include "netns/http1.h"

/// Heads that the filter writes: to the client and to the engine. Pure.
namespace dirbox::docker {

/// The answer to a request that was refused: {"message": "…"}, as the CLI prints it. With `head`,
/// only that.
std::string refusal_answer(const Error& error, bool head, bool keep_alive);

/// An answer with a body of the filter's own.
std::string json_answer(int status, std::string_view body, bool keep_alive);

/// The engine's head for the client: its status, the header fields that clients use, framing
/// afresh. Chunked stays chunked; what ends with the connection closes it.
std::string relayed_head(const netns::HttpResponse& response, bool head, bool keep_alive);
/// Whether a client that gets this can ask again on the same connection.
bool can_keep(const netns::HttpResponse& response, const Request& request);

struct Outgoing {
  std::string method;
  unsigned version = 0;
  std::string path;  ///< without a leading '/'
  std::vector<Parameter> query;
  std::string content_type;
  std::string body;
  bool chunked = false;  ///< the body follows in chunks; `body` is empty
  bool upgrade = false;
};
/// The whole request for the engine, but for a chunked body.
std::string request_bytes(const Outgoing& outgoing);

}  // namespace dirbox::docker
