#include "launcher/broker/docker/connection.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/broker/docker/bodies.h"
#include "launcher/broker/docker/mounts.h"
#include "launcher/broker/docker/refusal.h"
#include "launcher/broker/docker/transform.h"

namespace dirbox::docker {
namespace {

/// A client keeps its connection between the requests of one command.
constexpr Stream::Time kIdle{600'000};
constexpr Stream::Time kBodyPatience{60'000};
constexpr std::size_t kMaxBody = 1 << 20;
/// Bodies that mean nothing: docker-compose sends "{}" and "null" with requests that take none.
constexpr std::size_t kMaxIgnored = 4096;

std::string what_of(const Request& request) {
  return fmt::format("{} /{}", request.method, request.path_text());
}

}  // namespace

void Connection::run() {
  while (serve_one()) {
  }
}

bool Connection::serve_one() {
  body_pending_ = false;
  auto head = client_.read_head(kIdle);
  if (!head) return answer_refusal("a request", nullptr, head.error());
  if (head->empty()) return false;
  auto request = parse_request(*head);
  if (!request) return answer_refusal("a request", nullptr, request.error());
  body_pending_ = request->body.kind != netns::BodyKind::none;
  auto keep = serve(*request);
  if (!keep) return answer_refusal(what_of(*request), &*request, keep.error());
  return *keep;
}

/// False: the connection is over.
bool Connection::answer_refusal(const std::string& what, const Request* request,
                                const Error& error) {
  if (error.err == ETIMEDOUT || error.err == EPIPE || error.err == ECONNRESET) return false;
  if (error.err != ENOENT) shared_.on_refused(what, error);
  const bool head = request != nullptr && request->method == "HEAD";
  const bool keep = request != nullptr && request->keep_alive && !body_pending_;
  if (!client_.write(refusal_answer(error, head, keep))) return false;
  if (!keep) say_goodbye(client_);
  return keep;
}

Result<bool> Connection::serve(const Request& request) {
  Route route = TRY(find_route(request));
  if (route.endpoint->body == Body::stream && request.upgrade)
    return refuse_form("an upgrade of a request with a body");
  Prepared prepared = TRY(prepare(request, route));
  if (route.endpoint->action == Action::build) return exchange_build(request, prepared);
  if (route.endpoint->body == Body::stream) return exchange_upload(request, prepared);
  return exchange(request, prepared);
}

Result<std::string> Connection::read_small_body(const Request& request) {
  std::string body = TRY(client_.read_body(request.body, kMaxBody, kBodyPatience));
  body_pending_ = false;
  return body;
}

Result<Container> Connection::find_container(const std::string& name) {
  auto inspected = TRY(shared_.engine.ask_json("/containers/" + name + "/json"));
  if (!inspected) return refuse_container(name);
  EngineFacts facts = TRY(shared_.engine.facts());
  return check_container(*inspected, name, spec(), facts);
}

/// What does not exist and what is another's look the same.
Result<std::string> Connection::find_exec_container(const std::string& id) {
  auto inspected = TRY(shared_.engine.ask_json("/exec/" + id + "/json"));
  std::string container = inspected ? text_at(*inspected, "ContainerID") : "";
  if (!is_object_name(container)) return refuse_unknown("No such exec instance: " + id);
  return container;
}

Result<Connection::Prepared> Connection::prepare(const Request& request, const Route& route) {
  const Endpoint& endpoint = *route.endpoint;
  Prepared out;
  out.outgoing.method = request.method;
  out.outgoing.version = request.version;
  out.outgoing.path = request.path_text();
  out.outgoing.query = TRY(check_query(endpoint, request));
  Container container;
  std::string body;
  if (endpoint.body == Body::json) body = TRY(read_small_body(request));
  if (endpoint.body == Body::none && body_pending_) {
    body = TRY(client_.read_body(request.body, kMaxIgnored, kBodyPatience));
    body_pending_ = false;
  }
  switch (endpoint.subject) {
    case Subject::container: {
      container = TRY(find_container(route.subject));
      // By its id: a name can become another's before the engine looks.
      std::string rest = out.outgoing.path.substr(std::string("containers/").size());
      std::size_t slash = std::min(rest.find('/'), rest.size());
      out.outgoing.path = "containers/" + container.id + rest.substr(slash);
      break;
    }
    case Subject::exec: {
      std::string owner = TRY(find_exec_container(route.subject));
      auto found = find_container(owner);
      if (!found && found.error().err == ENOENT)
        return refuse_unknown("No such exec instance: " + route.subject);
      container = TRY(std::move(found));
      break;
    }
    case Subject::image:
      TRY_VOID(check_image(spec(), route.subject));
      break;
    case Subject::network:
      if (auto network = check_network(spec(), route.subject)) {
        out.outgoing.path = "networks/" + *network;
      } else {
        return refuse_unknown("network not found: " + route.subject);
      }
      break;
    case Subject::none:
      break;
  }
  out.outgoing.body = std::move(body);
  TRY_VOID(apply(endpoint.action, request, container, out));
  return out;
}

namespace {

/// Replaces or adds the parameter `filters`.
Result<void> limit_filters(std::vector<Parameter>& query, std::string_view key,
                           const std::string& value, std::string_view replaced = {}) {
  auto found = std::find_if(query.begin(), query.end(),
                            [](const Parameter& p) { return p.key == "filters"; });
  if (found == query.end()) found = query.insert(query.end(), {"filters", ""});
  found->value = TRY(add_filter(found->value, key, value, replaced));
  return {};
}

Result<void> check_excess(const Container& container) {
  if (container.excess.empty()) return {};
  return refuse("the container was made under a wider profile: " + container.excess,
                "remove it and make it again");
}

}  // namespace

Result<void> Connection::prepare_create(const Json& body, Prepared& out) {
  EngineFacts facts = TRY(shared_.engine.facts());
  CreateBody made = TRY(rebuild_create(body, spec(), facts));
  for (const BindRoot* root : made.roots) TRY_VOID(check_root_unchanged(*root));
  out.outgoing.content_type = "application/json";
  out.outgoing.body = made.body.dump();
  return {};
}

Result<void> Connection::prepare_exec(Action action, const Json& body, const Container& container,
                                      Prepared& out) {
  EngineFacts facts = TRY(shared_.engine.facts());
  Json made = action == Action::exec_create
                  ? TRY(rebuild_exec(body, spec(), facts, !container.roots.empty()))
                  : TRY(rebuild_exec_start(body, spec(), facts));
  out.outgoing.content_type = "application/json";
  out.outgoing.body = made.dump();
  return {};
}

Result<void> Connection::check_count() {
  std::string filter = TRY(add_filter("", "label", project_label(spec())));
  auto mine =
      TRY(shared_.engine.ask_json("/containers/json?all=1&" + encode_query({{"filters", filter}})));
  Json own = keep_own_containers(mine ? std::move(*mine) : Json(), spec());
  if (own.as_array()->size() >= spec().containers.value) {
    return Failure(Error{"docker",
                         {},
                         EBUSY,
                         fmt::format("{} containers exist, more than {} are not permitted",
                                     own.as_array()->size(), spec().containers.rule),
                         "remove one: docker ps -a, docker rm"});
  }
  return {};
}

Result<void> Connection::prepare_archive(Action action, const Container& container) {
  // podman writes even where the mount is read-only, unless the container runs.
  if (action == Action::archive_write && !container.roots.empty()) {
    return refuse(
        "copying into a container with a mount is refused: the engine would write through it",
        "copy to the mounted directory itself");
  }
  if (action == Action::archive_read && container.hidden_masks) {
    return refuse(
        "copying out of a container with this mount is refused: the engine would show "
        "what is hidden beneath it",
        "copy from the mounted directory itself");
  }
  return check_excess(container);
}

Result<void> Connection::apply(Action action, const Request& request, const Container& container,
                               Prepared& out) {
  std::string body = std::move(out.outgoing.body);
  out.outgoing.body.clear();
  const FilterSpec& own = spec();
  switch (action) {
    case Action::forward:
    case Action::ping:
      return {};
    case Action::info:
      out.transform = [](const Json& json) -> Result<Json> { return reduce_info(json); };
      return {};
    case Action::events:
      TRY_VOID(limit_filters(out.outgoing.query, "label", project_label(own)));
      return limit_filters(out.outgoing.query, "type", "container", "type");
    case Action::list:
      out.transform = [&own](Json json) -> Result<Json> {
        return keep_own_containers(std::move(json), own);
      };
      return limit_filters(out.outgoing.query, "label", project_label(own));
    case Action::images:
      out.transform = [&own](Json json) -> Result<Json> {
        return keep_permitted_images(std::move(json), own);
      };
      return {};
    case Action::networks:
      out.transform = [&own](Json json) -> Result<Json> {
        return keep_permitted_networks(std::move(json), own);
      };
      return {};
    case Action::network:
      out.transform = [](Json json) -> Result<Json> { return without_containers(std::move(json)); };
      return {};
    case Action::create:
      return prepare_create(TRY(parse_body(body)), out);
    case Action::start:
      for (const BindRoot* root : container.roots) TRY_VOID(check_root_unchanged(*root));
      return check_excess(container);
    case Action::exec_create:
    case Action::exec_start:
      TRY_VOID(check_excess(container));
      out.outgoing.upgrade = action == Action::exec_start && request.upgrade;
      return prepare_exec(action, TRY(parse_body(body)), container, out);
    case Action::attach:
      out.outgoing.upgrade = request.upgrade;
      return check_excess(container);
    case Action::archive_read:
    case Action::archive_write:
      out.outgoing.content_type = action == Action::archive_write ? "application/x-tar" : "";
      return prepare_archive(action, container);
    case Action::image:
    case Action::build:
      return {};
  }
  return {};
}

}  // namespace dirbox::docker
