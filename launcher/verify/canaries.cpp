#include "launcher/verify/canaries.h"

#include <fcntl.h>
#include <fmt/format.h>
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

#include "launcher/base/path.h"
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

/// Beside `path`, or in /tmp where sun_path has no room for that.
std::string socket_path(const std::string& path) {
  const std::string beside = path + ".sock";
  return beside.size() < sizeof sockaddr_un{}.sun_path ? beside
                                                       : "/tmp/" + std::string(path_name(beside));
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
      loopback(std::move(other.loopback)),
      host(std::move(other.host)),
      private_name(std::move(other.private_name)),
      named(std::move(other.named)),
      servers(std::move(other.servers)),
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
  servers = TRY(Servers::make(socket_path(path), token));
  path = "/dev/shm/dirbox-verify-" + token;
  if (::access("/dev/shm", W_OK) == 0) {
    TRY_VOID(make_file(path, token));
    shm_path = path;
  }
  return {};
}

Result<void> Canaries::make_listeners() {
  auto own = Listener::make("127.0.0.1");
  if (!own) return fail("make a canary", "a server on 127.0.0.1", "no port is free");
  loopback = std::move(*own);
  if (const std::string address = find_host_address(); !address.empty())
    host = Listener::make(address);
  if (auto found = find_private_name()) {
    private_name = found->first;
    named = Listener::make(found->second);
  }
  abstract_socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path + 1, token.data(), token.size());
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + token.size());
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

bool Canaries::take_abstract() const {
  UniqueFd peer(::accept4(abstract_socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return peer.valid();
}

}  // namespace dirbox::verify
