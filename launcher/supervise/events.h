#pragma once
#include <string>

#include "launcher/broker/docker/control.h"
#include "launcher/guard/call.h"
#include "launcher/guard/entry.h"
#include "launcher/log/event.h"
#include "launcher/plan/plan.h"
#include "netns/event.h"
#include "seccomp/notify.h"

/// What the parts of a session report, as events of its log.
namespace dirbox::supervise {

/// The layer is the proxy's. Connections that were made are no events: the caller leaves them out.
log::Event network_event(const netns::Event& event);

/// A request that the docker filter refused, or that no engine served.
log::Event docker_event(const docker::Report& report);

/// A change of the rules: "granted example.com for 10m".
log::Event rules_event(std::string what);

/// dirbox itself could not do something: `text` is a sentence.
log::Event fault_event(std::string text);

/// A dangerous change in a writable tree.
log::Event guard_event(const guard::Finding& finding);

/// A change of a guarded file that was not the sandbox's.
log::Event host_change_event(const std::string& path);

/// A call that guard = "enforce" refused.
log::Event refused_event(const guard::Answer& answer, const seccomp::Notification& call);

/// What the session is, for its first event.
log::Event start_event(const plan::Plan& plan);

}  // namespace dirbox::supervise
