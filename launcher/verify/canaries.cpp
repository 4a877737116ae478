#include "launcher/verify/canaries.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "launcher/verify/verify.h"

namespace dirbox::verify {
namespace {

Result<pid_t> start_victim() {
  pid_t parent = ::getpid();
  pid_t pid = ::fork();
  if (pid < 0) return fail_errno("start a process", "fork");
  if (pid > 0) return pid;
  ::signal(SIGTERM, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
      ::getppid() != parent) {
    ::_exit(1);
  }
  for (;;) ::pause();
}

void end_process(pid_t pid) {
  if (pid <= 0) return;
  ::kill(pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<UniqueFd> make_file(const std::string& path, const std::string& text) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return fail_errno("make a canary", path);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return fail_errno("write a canary", path);
  return fd;
}

}  // namespace

std::string make_token() {
  unsigned long long bits = 0;
  if (::getrandom(&bits, sizeof bits, 0) != sizeof bits) std::abort();
  return fmt::format("{:016x}", bits);
}

Canaries::Canaries(Canaries&& other) noexcept
    : token(std::move(other.token)),
      victim(std::exchange(other.victim, -1)),
      decoy(std::exchange(other.decoy, -1)),
      tcp(std::move(other.tcp)),
      port(other.port),
      abstract_socket(std::move(other.abstract_socket)),
      ipc_key(other.ipc_key),
      shm_path(std::exchange(other.shm_path, {})),
      tmp_path(std::exchange(other.tmp_path, {})),
      tmp_write_only(std::move(other.tmp_write_only)),
      shm_(std::exchange(other.shm_, -1)),
      sem_(std::exchange(other.sem_, -1)) {}

Canaries::~Canaries() {
  end_process(victim);
  end_process(decoy);
  for (const std::string& path : {shm_path, tmp_path}) {
    if (!path.empty()) ::unlink(path.c_str());
  }
  if (shm_ >= 0) ::shmctl(shm_, IPC_RMID, nullptr);
  if (sem_ >= 0) ::semctl(sem_, 0, IPC_RMID);
}

Result<void> Canaries::make_files() {
  const char* directory = std::getenv("TMPDIR");
  bool usable = directory != nullptr && *directory == '/' && ::access(directory, W_OK) == 0;
  std::string path = fmt::format("{}/dirbox-verify-{}", usable ? directory : "/tmp", token);
  tmp_write_only = TRY(make_file(path, token));
  tmp_path = path;
  path = "/dev/shm/dirbox-verify-" + token;
  if (::access("/dev/shm", W_OK) == 0) {
    TRY_VOID(make_file(path, token));
    shm_path = path;
  }
  return {};
}

Result<void> Canaries::make_listeners() {
  tcp.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (!tcp.valid() || ::bind(tcp.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(tcp.get(), 8) != 0 ||
      ::getsockname(tcp.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail_errno("make a canary", "a listener on 127.0.0.1");
  }
  port = ntohs(address.sin_port);
  abstract_socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path + 1, token.data(), token.size());
  size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + token.size());
  if (!abstract_socket.valid() ||
      ::bind(abstract_socket.get(), reinterpret_cast<sockaddr*>(&name), size) != 0 ||
      ::listen(abstract_socket.get(), 8) != 0) {
    return fail_errno("make a canary", "an abstract socket");
  }
  return {};
}

Result<void> Canaries::make_ipc() {
  // The low 31 bits of the token: never IPC_PRIVATE, and IPC_EXCL makes sure that it is ours.
  ipc_key = static_cast<int>(std::strtoull(token.c_str(), nullptr, 16) & 0x7fffffff) | 1;
  shm_ = ::shmget(ipc_key, 4096, IPC_CREAT | IPC_EXCL | 0600);
  if (shm_ < 0) return fail_errno("make a canary", "shared memory");
  sem_ = ::semget(ipc_key, 1, IPC_CREAT | IPC_EXCL | 0600);
  if (sem_ < 0) return fail_errno("make a canary", "a semaphore");
  return {};
}

Result<Canaries> Canaries::make() {
  Canaries canaries;
  canaries.token = make_token();
  TRY_VOID(canaries.make_files());
  TRY_VOID(canaries.make_listeners());
  TRY_VOID(canaries.make_ipc());
  canaries.victim = TRY(start_victim());
  canaries.decoy = TRY(start_victim());
  return canaries;
}

bool Canaries::victim_lives() const { return ::waitpid(victim, nullptr, WNOHANG) == 0; }

bool Canaries::take_connection(const UniqueFd& listener) {
  UniqueFd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return peer.valid();
}

}  // namespace dirbox::verify
