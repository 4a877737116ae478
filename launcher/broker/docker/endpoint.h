#pragma once
#include <string>
#include <string_view>

#include "launcher/base/result.h"
#include "launcher/broker/docker/request.h"

/// The table of what may be asked of an engine. What is not in it is refused.
namespace dirbox::docker {

/// What is done with a request beyond checking its parameters.
enum class Action {
  forward,        ///< send it on
  ping,           ///< forward; the answer says that there is no BuildKit
  info,           ///< of the answer only what a client needs
  events,         ///< only this project's containers'
  list,           ///< only this project's containers
  create,         ///< the body is rebuilt
  start,          ///< the mounts are looked at again
  exec_create,    ///< the body is rebuilt
  exec_start,     ///< the body is rebuilt; raw stream
  attach,         ///< raw stream
  archive_read,   ///< not where it would show what a mount masks
  archive_write,  ///< not where it would write through a mount
  image,          ///< only images that the profile permits
  images,
  networks,  ///< only permitted ones, without what else is on them
  network,
  build,  ///< the context is looked through
};

/// What the {id} of the path is. It must be this project's, or permitted.
enum class Subject { none, container, exec, image, network };

enum class Body { none, json, stream };

struct Endpoint {
  const char* method;
  const char* path;  ///< "{id}": one segment; "{name}": one or more
  Action action;
  Subject subject;
  Body body;
  /// "key=kind …": flag, number (also -1), word ([A-Za-z0-9_.:,-]), text, json. A key that is not
  /// there is refused; "key=never" must be false or empty, and is dropped.
  const char* query;
};

struct Route {
  const Endpoint* endpoint = nullptr;
  std::string subject;  ///< what stands for {id} or {name}
};

/// Errors: EPERM with a sentence for what is refused on purpose, ENOENT for what nobody serves.
Result<Route> find_route(const Request& request);

/// The parameters to send: those that the table has, checked. EPERM for one that it has not,
/// EBADMSG for a value that is not of its kind or a key that comes twice ("t" may).
Result<std::vector<Parameter>> check_query(const Endpoint& endpoint, const Request& request);

/// True for "1", "true", "True", "TRUE", "t".
bool is_true(std::string_view value);

}  // namespace dirbox::docker
