#pragma once
#include <functional>
#include <mutex>
#include <string>

#include "launcher/broker/docker/answer.h"
#include "launcher/broker/docker/container.h"
#include "launcher/broker/docker/endpoint.h"
#include "launcher/broker/docker/engine.h"

namespace dirbox::docker {

/// What the connections share.
struct Shared {
  const FilterSpec& spec;
  Engine& engine;
  /// A request that was refused. Called from any thread.
  std::function<void(const std::string& what, const Error& why)> on_refused;
  std::mutex creating;  ///< so that two at once do not both become the last one permitted
};

/// Serves one client connection, in a thread of its own, until it is closed.
///
/// Theory of operation: requests come one after the other. Each is parsed, found in the table of
/// endpoints, its subject resolved at the engine and checked for whose it is, and then what the
/// Action says. Nothing of the client's bytes reaches the engine but what was rebuilt, the body of
/// a `docker cp`, and the stream after an upgrade. Every request to the engine has a connection of
/// its own, so that no request can be mistaken for a part of another. An answer of the engine is
/// not trusted with more than its framing.
class Connection {
 public:
  Connection(Shared& shared, UniqueFd client) : shared_(shared), client_(std::move(client)) {}
  void run();

 private:
  struct Prepared {
    Outgoing outgoing;
    /// Changes the engine's answer; empty: it is relayed as it comes.
    std::function<Result<Json>(Json)> transform;
  };

  bool serve_one();
  Result<bool> serve(const Request& request);
  bool answer_refusal(const std::string& what, const Request* request, const Error& error);

  Result<Prepared> prepare(const Request& request, const Route& route);
  Result<void> apply(Action action, const Request& request, const Container& container,
                     Prepared& out);
  Result<void> prepare_create(const Json& body, Prepared& out);
  Result<void> prepare_exec(Action action, const Json& body, const Container& container,
                            Prepared& out);
  Result<void> prepare_archive(Action action, const Container& container);
  /// With Shared::creating held.
  Result<void> check_count();
  Result<std::string> read_small_body(const Request& request);
  Result<Container> find_container(const std::string& name);
  Result<std::string> find_exec_container(const std::string& id);

  Result<bool> exchange(const Request& request, const Prepared& prepared);
  Result<bool> exchange_upload(const Request& request, const Prepared& prepared);
  Result<bool> exchange_build(const Request& request, const Prepared& prepared);
  Result<bool> relay_answer(const Request& request, const Prepared& prepared, Stream& engine,
                            bool may_keep);
  Result<bool> relay_body(const netns::HttpResponse& response, Stream& engine);
  Result<void> await_engine(Stream& engine);
  Result<bool> upload(Stream& engine, const netns::BodyFraming& framing,
                      const std::function<Result<void>(std::string_view, std::string&)>& change);

  const FilterSpec& spec() const { return shared_.spec; }

  Shared& shared_;
  Stream client_;
  bool body_pending_ = false;  ///< of the request that is being served
};

}  // namespace dirbox::docker
