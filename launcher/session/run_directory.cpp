#include "launcher/session/run_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "launcher/base/initial_namespaces.h"
#include "launcher/base/peer.h"

namespace dirbox::session {
namespace {

constexpr int kBacklog = 16;
/// Directories that one start looks at; with more sessions than that, the next start goes on.
constexpr std::size_t kSwept = 32;
constexpr int kAttempts = 16;

bool is_private(const struct stat& st) {
  return S_ISDIR(st.st_mode) && st.st_uid == ::geteuid() && (st.st_mode & 077) == 0;
}

/// The root, invalid where it does not exist.
Result<UniqueFd> open_root(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT) return fd;
    return fail_errno("open the run directory", path);
  }
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("stat", path);
  if (!is_private(st)) {
    return fail("use the run directory", path, "it is not yours alone",
                "remove it, or set XDG_RUNTIME_DIR to a directory of yours with mode 0700");
  }
  return fd;
}

UniqueFd open_directory(int root, const char* name) {
  return UniqueFd(::openat(root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

std::vector<std::string> names_in(int root) {
  std::vector<std::string> names;
  UniqueFd fd = open_directory(root, ".");
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd.get()), ::closedir);
  if (!directory) return names;
  fd.release();
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// With the lock of the directory held. What cannot be removed is left to the next sweep.
void remove_session(int root, int directory, const char* name) {
  for (const std::string& entry : names_in(directory)) ::unlinkat(directory, entry.c_str(), 0);
  ::unlinkat(root, name, AT_REMOVEDIR);
}

/// Whether `name` in `root` is still `directory`. With the lock held it stays so.
bool is_linked(int root, const char* name, int directory) {
  struct stat by_name {
  }, by_fd{};
  return ::fstatat(root, name, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
         ::fstat(directory, &by_fd) == 0 && by_name.st_ino == by_fd.st_ino &&
         by_name.st_dev == by_fd.st_dev;
}

void sweep(int root, const std::string& own) {
  std::vector<std::string> names = names_in(root);
  // Session ids are random, and so each start begins elsewhere.
  auto first = std::lower_bound(names.begin(), names.end(), own);
  std::rotate(names.begin(), first, names.end());
  if (names.size() > kSwept) names.resize(kSwept);
  for (const std::string& name : names) {
    if (name == own) continue;
    UniqueFd fd = open_directory(root, name.c_str());
    if (fd.valid() && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0 &&
        is_linked(root, name.c_str(), fd.get())) {  // or it was made again since it was opened
      remove_session(root, fd.get(), name.c_str());
    }
  }
}

/// An address for `name` in `directory`, whatever the length of its path.
template <class Call>
bool with_address(int directory, const char* name, int socket, Call call) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto end = fmt::format_to_n(address.sun_path, sizeof address.sun_path - 1, "/proc/self/fd/{}/{}",
                              directory, name);
  *end.out = '\0';
  return call(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

UniqueFd make_socket(int flags) {
  return UniqueFd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
}

}  // namespace

std::string run_root() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  struct stat st {};
  // Another user's, as after su(1), is not used.
  if (runtime != nullptr && *runtime == '/' && ::stat(runtime, &st) == 0 && is_private(st))
    return std::string(runtime) + "/dirbox";
  const uid_t user = ::geteuid();
  // In other user namespaces the same number is somebody else.
  if (::stat("/proc/self/ns/user", &st) == 0 && st.st_ino != kInitialUserNamespace)
    return fmt::format("/tmp/dirbox-{}-{}", user, st.st_ino);
  // What a login would have set the variable to (pam_systemd(8)), and root's own: anybody can have
  // made the one in /tmp before.
  const std::string login = fmt::format("/run/user/{}", user);
  if (::stat(login.c_str(), &st) == 0 && is_private(st)) return login + "/dirbox";
  if (user == 0 && ::stat("/run", &st) == 0 && st.st_uid == 0 && (st.st_mode & 022) == 0 &&
      ::access("/run", W_OK) == 0) {
    return "/run/dirbox";
  }
  return fmt::format("/tmp/dirbox-{}", user);
}

Result<RunDirectory> RunDirectory::make(const std::string& session) {
  RunDirectory made;
  made.root_path_ = run_root();
  made.session_ = session;
  const char* name = made.session_.c_str();
  // Others remove what nobody holds a lock on: the root when it is empty, and a directory that was
  // just made. Then it is made again.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (::mkdir(made.root_path_.c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno("make the run directory", made.root_path_);
    made.root_ = TRY(open_root(made.root_path_));
    if (!made.root_.valid()) continue;
    if (::mkdirat(made.root_.get(), name, 0700) != 0) {
      if (errno == ENOENT) continue;
      return fail_errno("make the run directory", made.path());
    }
    UniqueFd directory = open_directory(made.root_.get(), name);
    if (!directory.valid()) {
      if (errno == ENOENT) continue;
      return fail_errno("open the run directory", made.path());
    }
    if (::flock(directory.get(), LOCK_EX) != 0)
      return fail_errno("lock the run directory", made.path());
    if (!is_linked(made.root_.get(), name, directory.get())) continue;
    made.directory_ = std::move(directory);
    sweep(made.root_.get(), session);
    return made;
  }
  return fail("make the run directory", made.root_path_, "it vanishes again and again");
}

Result<UniqueFd> RunDirectory::make_listener(const char* name) const {
  UniqueFd listener = make_socket(SOCK_NONBLOCK);
  if (!listener.valid()) return fail_errno("make a socket", name);
  if (!with_address(directory_.get(), name, listener.get(), ::bind))
    return fail_errno("bind a socket", path() + "/" + name);
  if (::listen(listener.get(), kBacklog) != 0)
    return fail_errno("listen on a socket", path() + "/" + name);
  return listener;
}

RunDirectory::~RunDirectory() {
  if (!directory_.valid()) return;
  remove_session(root_.get(), directory_.get(), session_.c_str());
  ::rmdir(root_path_.c_str());  // fails while other sessions are there
}

Result<std::vector<std::string>> list_sessions() {
  UniqueFd root = TRY(open_root(run_root()));
  std::vector<std::string> running;
  if (!root.valid()) return running;
  for (std::string& name : names_in(root.get())) {
    UniqueFd fd = open_directory(root.get(), name.c_str());
    // A shared lock is refused exactly while the session holds its own.
    if (fd.valid() && ::flock(fd.get(), LOCK_SH | LOCK_NB) != 0) running.push_back(std::move(name));
  }
  return running;
}

Result<UniqueFd> connect_session(const std::string& session, const char* name) {
  std::string root_path = run_root();
  if (session.empty() || session.front() == '.' || session.find('/') != std::string::npos)
    return fail("find the session", session, "not a session id", "dirbox ps lists them");
  // A session has its directory some milliseconds after its start, and then its sockets.
  constexpr int kLooks = 20;
  constexpr timespec kBetween{0, 10'000'000};
  UniqueFd root, directory;
  UniqueFd socket = make_socket(0);
  if (!socket.valid()) return fail_errno("make a socket", "");
  bool connected = false;
  int err = 0;
  for (int look = 0; look < kLooks && !connected; ++look) {
    if (look > 0) ::nanosleep(&kBetween, nullptr);
    root = TRY(open_root(root_path));
    if (root.valid()) directory = open_directory(root.get(), session.c_str());
    if (!directory.valid()) continue;
    connected = with_address(directory.get(), name, socket.get(), ::connect);
    err = errno;
    if (err != ECONNREFUSED && err != ENOENT) break;
  }
  if (!directory.valid())
    return fail_errno("find the session", session, ENOENT, "dirbox ps lists those that run");
  if (!connected) {
    const bool over = err == ECONNREFUSED || err == ENOENT;
    return fail_errno("talk to the session", session, err,
                      over ? "it has ended; dirbox ps lists those that run" : "");
  }
  TRY_VOID(check_peer(socket.get()));
  return socket;
}

Result<void> check_peer(int socket) {
  Peer peer = TRY(identify_peer(socket));
  struct stat own {
  }, other{};
  if (peer.uid != ::geteuid() || ::stat("/proc/self/ns/user", &own) != 0 ||
      ::fstat(peer.user_namespace.get(), &other) != 0 || own.st_ino != other.st_ino ||
      own.st_dev != other.st_dev) {
    return fail_errno("trust the other end", fmt::format("pid {}, uid {}", peer.pid, peer.uid),
                      EPERM);
  }
  return {};
}

}  // namespace dirbox::session
