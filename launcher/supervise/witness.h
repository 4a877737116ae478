#pragma once
#include "launcher/guard/silence.h"
#include "launcher/plan/plan.h"
#include "launcher/supervise/attach_server.h"
#include "launcher/supervise/broker.h"
#include "launcher/supervise/docker.h"
#include "launcher/supervise/observer.h"

namespace dirbox::supervise {

/// The guard's witness: the observer, as long as nothing acts for the sandbox that is asked about
/// nothing: an excluded command, docker, what is attached. Nobody where something can act so from
/// the start: programs of the host behind a granted socket or port, or a pipe that is a standard
/// stream; a filter that does not ask, or calls that go past it. All are borrowed until the end of
/// the run.
guard::Witness make_witness(const plan::Plan& plan, Observer& observer, const AttachServer& attach,
                            const Broker& broker, const Docker& docker);

}  // namespace dirbox::supervise
