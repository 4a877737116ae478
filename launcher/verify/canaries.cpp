#include "launcher/verify/canaries.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
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

/// In `directory`, or in /tmp where sun_path has no room for that.
std::string socket_path(const std::string& directory) {
  const std::string within = directory + "/engine.sock";
  return within.size() < sizeof sockaddr_un{}.sun_path
             ? within
             : "/tmp/" + std::string(path_name(directory)) + ".sock";
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
      terminal(std::move(other.terminal)),
      shm_path(std::exchange(other.shm_path, {})),
      tmp_path(std::exchange(other.tmp_path, {})),
      tmp_write_only(std::move(other.tmp_write_only)),
      directory(std::exchange(other.directory, {})),
      shm_(std::exchange(other.shm_, -1)),
      sem_(std::exchange(other.sem_, -1)),
      msg_(std::exchange(other.msg_, -1)),
      queue_(std::move(other.queue_)),
      terminal_(std::move(other.terminal_)) {}

Canaries::~Canaries() {
  end_process(victim);
  end_process(decoy);
  std::error_code left;  // what a directory that nobody else may enter still holds
  if (!directory.empty()) std::filesystem::remove_all(directory, left);
  for (const std::string& path : {shm_path, tmp_path}) {
    if (!path.empty()) ::unlink(path.c_str());
  }
  if (shm_ >= 0) ::shmctl(shm_, IPC_RMID, nullptr);
  if (sem_ >= 0) ::semctl(sem_, 0, IPC_RMID);
  if (msg_ >= 0) ::msgctl(msg_, IPC_RMID, nullptr);
  if (queue_.valid()) ::mq_unlink(queue_name().c_str());
}

Result<void> Canaries::make_files() {
  const char* wanted = std::getenv("TMPDIR");
  bool usable = wanted != nullptr && *wanted == '/' && ::access(wanted, W_OK) == 0;
  std::string path = fmt::format("{}/dirbox-verify-{}", usable ? wanted : "/tmp", token);
  tmp_write_only = TRY(make_file(path, token));
  tmp_path = path;
  path += ".d";
  if (::mkdir(path.c_str(), 0700) != 0) return fail_errno("make a directory", path);
  directory = path;
  servers = TRY(Servers::make(socket_path(directory), token));
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

/// What a kernel or a container may do without. The key is in a session keyring of this process's
/// own, which what it starts inherits as it would the caller's.
void Canaries::make_optional() {
  msg_ = ::msgget(ipc_key, IPC_CREAT | IPC_EXCL | 0600);
  queue_.reset(
      ::mq_open(queue_name().c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, nullptr));
  constexpr long kJoinSession = 1, kSessionKeyring = -3;  // keyctl(2)
  const std::string name = queue_name();
  if (::syscall(SYS_keyctl, kJoinSession, nullptr) >= 0)
    ::syscall(SYS_add_key, "user", name.c_str(), token.c_str(), token.size(), kSessionKeyring);
  terminal_.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  char path[64];
  if (terminal_.valid() && ::grantpt(terminal_.get()) == 0 && ::unlockpt(terminal_.get()) == 0 &&
      ::ptsname_r(terminal_.get(), path, sizeof path) == 0) {
    terminal = path;
  }
}

Result<Canaries> Canaries::make() {
  Canaries canaries;
  canaries.token = make_token();
  TRY_VOID(canaries.make_files());
  TRY_VOID(canaries.make_listeners());
  TRY_VOID(canaries.make_ipc());
  canaries.make_optional();
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
