#pragma once
#include <string>

#include "launcher/base/json.h"
#include "launcher/guard/guard.h"
#include "launcher/plan/plan.h"
#include "launcher/session/control.h"
#include "launcher/supervise/network.h"

/// What can be asked of a running session from the host.
namespace dirbox::supervise {

///   {"verb": "info"}                                     session, pid, profile, cwd, started,
///   attach
///   {"verb": "grant", "rule": "host:443", "seconds": 600}   seconds: optional
///   {"verb": "revoke", "rule": "host"}
///   {"verb": "accept", "step": "ask" | "commit" | "withdraw", "quarantine": session, "number": 1,
///    "path_hex", "sha256", "mode"}   as guard::PutBack; answered by {}
///
/// grant and revoke answer {"rules": [{"rule", "deny", "origin", "seconds"}], "notes": [text]} once
/// the change is in force.
class Requests {
 public:
  /// All outlive this.
  Requests(const plan::Plan& plan, Network& network, guard::Guard& guard);

  const std::string& session() const { return plan_.session; }
  void handle(const Json& request, session::ControlServer::Reply reply);

 private:
  Json info() const;
  Json rules(const Network::Notes& notes) const;
  Result<Json> accept(const Json& request);
  void change(const std::string& verb, const Json& request, session::ControlServer::Reply reply);

  const plan::Plan& plan_;
  Network& network_;
  guard::Guard& guard_;
  std::int64_t started_;  ///< seconds since the epoch
};

}  // namespace dirbox::supervise
