#pragma once
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "launcher/broker/docker/rebuild.h"
#include "launcher/broker/docker/stream.h"
#include "netns/http1.h"

/// The container engine. Used by many threads at once.
namespace dirbox::docker {

struct Answer {
  int status = 0;
  std::string body;
};

class Engine {
 public:
  explicit Engine(const std::vector<std::string>& sockets) : sockets_(sockets) {}

  /// A connection to the first socket that takes one; ECONNREFUSED names what was tried.
  Result<UniqueFd> connect() const;
  /// A question of the filter's own: GET, the whole answer. `path` begins with '/'.
  Result<Answer> ask(const std::string& path) const;
  /// The same, for an answer that must be JSON; EIO unless it is. nullopt for 404.
  Result<std::optional<Json>> ask_json(const std::string& path) const;
  /// Asked once.
  Result<EngineFacts> facts();

 private:
  const std::vector<std::string>& sockets_;
  std::mutex mutex_;
  std::optional<EngineFacts> facts_;
};

/// The head of the engine's final answer; interim ones are passed over. EIO when it is no HTTP.
Result<netns::HttpResponse> read_answer(Stream& engine, std::string_view method,
                                        Stream::Time patience);

/// Answers of an engine in JSON can be long: `docker ps -a` of a full host.
inline constexpr std::size_t kMaxAnswer = 16 << 20;
Result<Json> parse_answer(std::string_view text);

}  // namespace dirbox::docker
