#include "launcher/supervise/attach_server.h"

#include <fcntl.h>

#include <cerrno>
#include <vector>

#include "launcher/base/text.h"
#include "launcher/base/unix_socket.h"
#include "launcher/sandbox/control.h"
#include "launcher/sandbox/starter.h"

namespace dirbox::supervise {

using sandbox::ControlType;

Result<void> AttachServer::start(const session::RunDirectory& directory) {
  if (plan_.spec.attach.empty()) return {};
  return clients_.start(TRY(directory.make_listener(session::kAttachSocket)));
}

Result<void> AttachServer::take(UniqueFd starter) {
  starter_ = std::move(starter);
  if (::fcntl(starter_.get(), F_SETFL, O_NONBLOCK) != 0)
    return fail_errno("talk to the starter", "");
  return loop_.add(starter_.get(), EPOLLIN, [this](std::uint32_t) { on_starter(); });
}

void AttachServer::stop() {
  clients_.stop();
  if (!starter_.valid()) return;
  loop_.remove(starter_.get());
  starter_.reset();
}

/// Its only message is the listener of the filter that it and all that it starts are under.
void AttachServer::on_starter() {
  auto received = sandbox::receive_control(starter_.get());
  if (!received && received.error().err == EAGAIN) return;
  if (!received || received->closed) {
    loop_.remove(starter_.get());
    starter_.reset();
    return;
  }
  if (received->control.type != ControlType::listener || received->control.fds.size() != 1) return;
  if (auto done = observer_.attach(std::move(received->control.fds[0])); !done) {
    log::Event event;
    event.kind = log::Kind::fault;
    event.detail = "what is attached is not observed: " + done.error().message();
    sink_(std::move(event));
  }
}

void AttachServer::on_request(session::Clients::Id id) {
  const int client = clients_.fd(id);
  if (auto passed = pass_on(client); !passed) {
    const Error& error = passed.error();
    if (error.err == EAGAIN) return;
    // A client that went away needs no answer.
    if (!sandbox::send_control(client, ControlType::failed, error.err,
                               sandbox::encode_error(error))) {
      return clients_.drop(id);
    }
  }
  clients_.drop(id);
}

Result<void> AttachServer::pass_on(int client) {
  Message message = TRY(receive_message(client, sandbox::kMaxStartRequest, 3));
  if (message.end) return fail("read a request to attach", "", "the connection ended");
  sandbox::StartRequest request = TRY(sandbox::parse_start(message.bytes));
  if (message.fds.size() != request.passed())
    return fail("read a request to attach", "", "it passes other descriptors than it says");
  if (request.argv.empty()) request.argv = plan_.spec.attach;
  if (!starter_.valid())
    return fail("attach to", plan_.session, "the process inside that starts commands has ended");
  std::vector<int> fds{client};
  for (const UniqueFd& fd : message.fds) fds.push_back(fd.get());
  // The starter reads what it asks for with blocking calls.
  if (::fcntl(client, F_SETFL, 0) != 0) return fail_errno("attach to", plan_.session);
  auto sent = send_message(starter_.get(), sandbox::encode_start(request), fds);
  if (!sent) return fail_errno("attach to", plan_.session, EBUSY, "the starter inside is busy");
  used_ = true;
  log::Event event;
  event.kind = log::Kind::run;
  event.operation = log::Operation::exec;
  event.subject = join_words(request.argv);
  event.cause = "attached";
  sink_(std::move(event));
  return {};
}

}  // namespace dirbox::supervise
