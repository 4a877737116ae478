#include "launcher/verify/servers.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <new>
#include <utility>

#include "launcher/base/unix_socket.h"

namespace dirbox::verify {

struct Servers::Counts {
  std::atomic<unsigned> answered{0}, asked{0}, made{0};
};

namespace {

constexpr int kPatienceMs = 3000;  // for the bytes of a client
constexpr std::size_t kMaxRequest = 64 << 10;

/// What has come at once, or up to the end of an HTTP head and of the body that it announces.
std::string read_request(int fd, bool http) {
  std::string text;
  for (;;) {
    pollfd source{fd, POLLIN, 0};
    if (::poll(&source, 1, kPatienceMs) <= 0) return text;
    char chunk[4096];
    ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n <= 0) return text;
    text.append(chunk, static_cast<std::size_t>(n));
    if (!http || text.size() > kMaxRequest || text.find("\r\n\r\n") != std::string::npos)
      return text;
  }
}

void send_text(int fd, const std::string& text) {
  // A client that does not wait for its answer is none of this server's business.
  if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0) return;
  ::shutdown(fd, SHUT_WR);
  char rest[4096];
  pollfd source{fd, POLLIN, 0};
  while (::poll(&source, 1, kPatienceMs) > 0 && ::read(fd, rest, sizeof rest) > 0) {
  }
}

std::string http_answer(int status, std::string_view type, std::string_view body) {
  return fmt::format(
      "HTTP/1.1 {} Answer\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}",
      status, type, body.size(), body);
}

}  // namespace

Result<Servers> Servers::make(const std::string& path, const std::string& token) {
  Servers servers;
  servers.tcp_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const int tcp = servers.tcp_.get();
  if (!servers.tcp_.valid() || ::bind(tcp, generic, size) != 0 || ::listen(tcp, 16) != 0 ||
      ::getsockname(tcp, generic, &size) != 0) {
    return fail_errno("make a canary", "a server on 127.0.0.1");
  }
  servers.port_ = ntohs(address.sin_port);
  servers.engine_ = TRY(make_unix_listener(path, SOCK_STREAM));
  servers.engine_path_ = path;
  void* shared =
      ::mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return fail_errno("make a canary", "shared memory");
  servers.counts_ = new (shared) Counts;
  const pid_t parent = ::getpid();
  servers.pid_ = ::fork();
  if (servers.pid_ < 0) return fail_errno("start a process", "fork");
  if (servers.pid_ == 0) servers.serve(token, parent);
  servers.tcp_.reset();
  servers.engine_.reset();
  return servers;
}

void Servers::serve(const std::string& token, pid_t parent) {
  // Its signals are blocked, as its parent's are: it ends with it.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(1);
  for (;;) {
    pollfd sources[] = {{tcp_.get(), POLLIN, 0}, {engine_.get(), POLLIN, 0}};
    if (::poll(sources, 2, -1) < 0 && errno != EINTR) ::_exit(1);
    if (sources[0].revents != 0) answer(token);
    if (sources[1].revents != 0) answer_engine();
  }
}

void Servers::answer(const std::string& token) {
  UniqueFd client(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client.valid()) return;
  const std::string text = read_request(client.get(), false);
  if (text.empty()) return;
  counts_->answered.fetch_add(1);
  send_text(client.get(), text.starts_with("GET ") ? http_answer(200, "text/plain", token) : token);
}

/// The paths begin with the version of the API, or do not.
void Servers::answer_engine() {
  UniqueFd client(::accept4(engine_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client.valid()) return;
  const std::string text = read_request(client.get(), true);
  if (text.empty()) return;
  counts_->asked.fetch_add(1);
  const std::string line = text.substr(0, text.find('\r'));
  const bool reads = line.starts_with("GET ") || line.starts_with("HEAD ");
  if (!reads) counts_->made.fetch_add(1);
  struct Answer {
    std::string_view path, type, body;
  };
  // The container is somebody else's: it has no label of the filter's.
  constexpr Answer kAnswers[] = {
      {"/_ping ", "text/plain", "OK"},
      {"/version ", "application/json", "{}"},
      {"/info ", "application/json", "{}"},
      {"/containers/json?", "application/json", "[]"},
      {"/containers/foreign/json ", "application/json",
       R"({"Id":"foreign","Name":"/foreign","Config":{"Labels":{}},"HostConfig":{}})"},
  };
  for (const Answer& known : kAnswers) {
    if (reads && line.find(known.path) != std::string::npos)
      return send_text(client.get(), http_answer(200, known.type, known.body));
  }
  send_text(client.get(), http_answer(404, "application/json", R"({"message":"nothing here"})"));
}

Servers::Servers(Servers&& other) noexcept { *this = std::move(other); }

Servers& Servers::operator=(Servers&& other) noexcept {
  if (this == &other) return *this;
  end();
  pid_ = std::exchange(other.pid_, -1);
  port_ = other.port_;
  engine_path_ = std::exchange(other.engine_path_, {});
  tcp_ = std::move(other.tcp_);
  engine_ = std::move(other.engine_);
  counts_ = std::exchange(other.counts_, nullptr);
  return *this;
}

Servers::~Servers() { end(); }

void Servers::end() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  pid_ = -1;
  if (!engine_path_.empty()) ::unlink(engine_path_.c_str());
  if (counts_ != nullptr) ::munmap(counts_, sizeof *counts_);
  counts_ = nullptr;
}

unsigned Servers::answered() const { return counts_ == nullptr ? 0 : counts_->answered.load(); }
unsigned Servers::asked() const { return counts_ == nullptr ? 0 : counts_->asked.load(); }
unsigned Servers::made() const { return counts_ == nullptr ? 0 : counts_->made.load(); }

}  // namespace dirbox::verify
