#include "launcher/session/control.h"

#include <fmt/format.h>
#include <poll.h>

#include "launcher/base/file.h"
#include "launcher/base/peer.h"
#include "launcher/base/process.h"
#include "launcher/base/unix_socket.h"

namespace dirbox::session {
namespace {

constexpr std::size_t kMaxAnswer = 8 << 20;
/// A longer answer is passed as a file: unless the sandbox has used up what its user may have of
/// descriptors on their way (ETOOMANYREFS, unix(7)), which it can at any time.
constexpr std::size_t kMaxInline = 64 << 10;
constexpr int kSliceMs = 100;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string text_of(const Message& message) {
  return {reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size()};
}

Json to_json(const Result<Json>& result) {
  Json out;
  if (result) {
    out.set("ok", *result);
    return out;
  }
  const Error& error = result.error();
  Json described;
  described.set("doing", error.doing);
  described.set("operand", error.operand);
  described.set("errno", error.err);
  described.set("detail", error.detail);
  described.set("hint", error.hint);
  out.set("error", described);
  return out;
}

Result<Json> from_json(const Json& answer) {
  if (const Json* ok = answer.find("ok")) return *ok;
  const Json* described = answer.find("error");
  auto text = [&](std::string_view key) {
    const Json* value = described != nullptr ? described->find(key) : nullptr;
    return value != nullptr && value->as_string() != nullptr ? *value->as_string() : std::string();
  };
  const Json* number = described != nullptr ? described->find("errno") : nullptr;
  int err =
      number != nullptr && number->as_int() != nullptr ? static_cast<int>(*number->as_int()) : 0;
  return Failure(Error{text("doing"), text("operand"), err, text("detail"), text("hint")});
}

}  // namespace

Result<void> ControlServer::start(const RunDirectory& directory) {
  return clients_.start(TRY(directory.make_listener(kControlSocket)));
}

void ControlServer::on_request(Clients::Id id) {
  auto message = receive_message(clients_.fd(id), kMaxRequest, 0);
  if (!message && message.error().err == EAGAIN) return;
  if (!message || message->end) return clients_.drop(id);
  clients_.ignore(id);  // one request for each connection
  auto request = Json::parse(text_of(*message));
  if (!request) return answer(id, Failure(request.error()));
  handler_(*request, [this, id](const Result<Json>& result) { answer(id, result); });
}

void ControlServer::answer(Clients::Id id, const Result<Json>& result) {
  const int client = clients_.fd(id);
  if (client < 0) return;
  auto sent = [&]() -> Result<void> {
    const std::string text = to_json(result).dump();
    if (text.size() <= kMaxInline) return send_message(client, bytes_of(text));
    const UniqueFd file = TRY(make_sealed_file("dirbox-answer", text));
    const int fds[] = {file.get()};
    return send_message(client, as_bytes_of('a'), fds);
  }();
  // A client that went away needs no answer.
  if (!sent) return clients_.drop(id);
  clients_.drop(id);
}

Result<Json> ask_session(const std::string& session, const Json& request, pid_t* stopped) {
  UniqueFd socket = TRY(connect_session(session));
  TRY_VOID(send_message(socket.get(), bytes_of(request.dump())));
  pollfd ready{socket.get(), POLLIN, 0};
  const pid_t pid = TRY(identify_peer(socket.get())).pid;
  const auto end = std::chrono::steady_clock::now() + ControlServer::kPatience;
  int n = 0;
  do {
    n = ::poll(&ready, 1, kSliceMs);
    const auto process = n == 0 ? read_process_state(pid) : std::nullopt;
    if (process && process->state == 'T') {
      if (stopped != nullptr) *stopped = pid;
      return fail("talk to the session", session, "it is stopped",
                  fmt::format("kill -CONT {} lets it go on", pid));
    }
  } while ((n < 0 && errno == EINTR) || (n == 0 && std::chrono::steady_clock::now() < end));
  if (n <= 0) return fail_errno("wait for the session", session, n == 0 ? ETIMEDOUT : errno);
  Message message = TRY(receive_message(socket.get(), kMaxInline, 1));
  if (message.end) return fail("talk to the session", session, "it ended meanwhile");
  Json::Limits limits;
  limits.max_bytes = kMaxAnswer;
  std::string text = message.fds.empty() ? text_of(message)
                                         : TRY(read_fd(message.fds[0].get(), kMaxAnswer, session));
  return from_json(TRY(Json::parse(text, limits)));
}

}  // namespace dirbox::session
