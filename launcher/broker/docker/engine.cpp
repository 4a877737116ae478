#include "launcher/broker/docker/engine.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "launcher/broker/docker/refusal.h"

namespace dirbox::docker {
namespace {

constexpr Stream::Time kPatience{60'000};

Failure broken(std::string_view detail) {
  return Failure(Error{"docker", {}, EIO, "the engine's answer: " + std::string(detail), {}});
}

Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail_errno("connect to the engine", path, ENAMETOOLONG);
  path.copy(address.sun_path, path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno("connect to the engine", path);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("connect to the engine", path);
  return fd;
}

}  // namespace

Result<UniqueFd> Engine::connect() const {
  std::string tried;
  for (const std::string& path : sockets_) {
    auto socket = connect_to(path);
    if (socket) return socket;
    tried +=
        fmt::format("{}{} ({})", tried.empty() ? "" : ", ", path, errno_name(socket.error().err));
  }
  return Failure(Error{"docker",
                       {},
                       ECONNREFUSED,
                       tried.empty() ? "no container engine: docker.sockets names none"
                                     : "no container engine: " + tried,
                       "start dockerd, or podman system service, on the host"});
}

Result<netns::HttpResponse> read_answer(Stream& engine, std::string_view method,
                                        Stream::Time patience) {
  for (;;) {
    auto head = engine.read_head(patience);
    if (!head) return broken(head.error().message());
    if (head->empty()) return broken("it closed the connection");
    auto response = netns::parse_http_response(*head, method);
    if (!response) return broken(response.error().message());
    if (!response->is_interim()) return response;
  }
}

Result<Answer> Engine::ask(const std::string& path) const {
  Stream stream(TRY(connect()));
  TRY_VOID(stream.write(
      fmt::format("GET {} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n", path),
      kPatience));
  netns::HttpResponse response = TRY(read_answer(stream, "GET", kPatience));
  Answer answer{response.status, {}};
  auto body = stream.read_body(response.body, kMaxAnswer, kPatience);
  if (!body) return broken(body.error().message());
  answer.body = std::move(*body);
  return answer;
}

Result<Json> parse_answer(std::string_view text) {
  Json::Limits limits;
  limits.max_bytes = kMaxAnswer;
  auto parsed = Json::parse(text, limits);
  if (!parsed) return broken(parsed.error().detail);
  return parsed;
}

Result<std::optional<Json>> Engine::ask_json(const std::string& path) const {
  Answer answer = TRY(ask(path));
  if (answer.status == 404) return std::optional<Json>();
  if (answer.status != 200) return broken(fmt::format("status {}", answer.status));
  return std::optional<Json>(TRY(parse_answer(answer.body)));
}

Result<EngineFacts> Engine::facts() {
  std::lock_guard lock(mutex_);
  if (facts_) return *facts_;
  EngineFacts facts;
  auto version = TRY(ask_json("/version"));
  const Json* components = version ? version->find("Components") : nullptr;
  if (components != nullptr && components->as_array() != nullptr) {
    for (const Json& component : *components->as_array())
      facts.podman = facts.podman || text_at(component, "Name").starts_with("Podman");
  }
  auto info = TRY(ask_json("/info"));
  facts.rootless = info && flag_at(*info, "Rootless");  // podman
  const Json* options = info ? info->find("SecurityOptions") : nullptr;
  if (options != nullptr && options->as_array() != nullptr) {
    for (const Json& option : *options->as_array()) {
      const std::string* text = option.as_string();
      facts.rootless =
          facts.rootless ||
          (text != nullptr && (*text == "rootless" || text->find("name=rootless") == 0));
    }
  }
  facts.limits = !(facts.rootless && info && text_at(*info, "CgroupVersion") == "1");
  constexpr std::int64_t kMostCpus = 1 << 20;
  const std::int64_t cpus = info ? integer_at(*info, "NCPU") : 0;
  if (cpus > 0 && cpus <= kMostCpus) facts.cpus = static_cast<std::uint64_t>(cpus) * 1'000'000'000;
  facts_ = facts;
  return facts;
}

}  // namespace dirbox::docker
