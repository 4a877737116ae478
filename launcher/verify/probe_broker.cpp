#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/unix_socket.h"
#include "launcher/broker/protocol.h"
#include "launcher/verify/probe.h"

/// Attempts on what stands between the sandbox and programs of the host: the broker, the filter of
/// docker's API, and the guard.
namespace dirbox::verify {
namespace {

constexpr std::size_t kMaxText = 64 << 10;

Result<UniqueFd> connect_unix(const std::string& path, int type) {
  constexpr timeval kWait{4, 0};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail_errno("connect", path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kWait, sizeof kWait) != 0 ||
      ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("connect", path);
  }
  return fd;
}

/// What the broker answers: refused with its sentence, done with anything else.
Outcome read_broker(int socket) {
  auto message = receive_message(socket, broker::wire::kMaxDatagram, 1);
  if (!message) return refused(message.error().err == EAGAIN ? ETIMEDOUT : message.error().err);
  if (message->end) return refused(ECONNRESET);
  auto packet = broker::parse_packet(message->bytes);
  if (!packet) return refused(EPROTO, "a malformed answer");
  if (packet->type != broker::wire::Type::fail) return succeeded();
  return refused(
      EACCES, std::string(reinterpret_cast<const char*>(packet->rest.data()), packet->rest.size()));
}

/// SOCKET WORD…: asks for a command as a shim does.
Outcome verb_broker(const Words& words) {
  auto fd = connect_unix(word_at(words, 0), SOCK_SEQPACKET);
  if (!fd) return refused(fd.error().err);
  broker::ExecRequest request;
  char* directory = ::get_current_dir_name();
  const std::string cwd = directory == nullptr ? "/" : directory;
  std::free(directory);
  request.cwd = cwd;
  request.argv.assign(words.begin() + 1, words.end());
  const std::vector<std::byte> body = broker::encode_exec(request);
  broker::wire::Header header{broker::wire::kMagic, broker::wire::kVersion,
                              broker::wire::Type::exec, 0, static_cast<std::uint32_t>(body.size())};
  std::vector<std::byte> packet(sizeof header + body.size());
  std::memcpy(packet.data(), &header, sizeof header);
  std::memcpy(packet.data() + sizeof header, body.data(), body.size());
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  UniqueFd here(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!null.valid() || !here.valid()) return refused(errno);
  const int fds[] = {null.get(), null.get(), null.get(), here.get()};
  // One that is closed at once has its answer waiting.
  if (auto sent = send_message(fd->get(), packet, fds); !sent && sent.error().err != EPIPE)
    return refused(sent.error().err);
  return read_broker(fd->get());
}

/// SOCKET MAGIC VERSION TYPE: a header alone.
Outcome verb_broker_packet(const Words& words) {
  auto fd = connect_unix(word_at(words, 0), SOCK_SEQPACKET);
  if (!fd) return refused(fd.error().err);
  broker::wire::Header header{};
  header.magic = static_cast<std::uint32_t>(number(word_at(words, 1)));
  header.version = static_cast<std::uint16_t>(number(word_at(words, 2)));
  header.type = static_cast<broker::wire::Type>(number(word_at(words, 3)));
  if (auto sent = send_message(fd->get(), as_bytes_of(header)); !sent)
    return refused(sent.error().err);
  return read_broker(fd->get());
}

/// WORD…: runs a command, found by PATH. Refused with its exit status as errno-less refusal and
/// what it says on descriptor 2 as detail; not found is refused with ENOENT.
Outcome verb_run(const Words& words) {
  std::vector<char*> argv;
  Words copy = words;
  for (std::string& word : copy) argv.push_back(word.data());
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return refused(errno);
  UniqueFd ours(ends[0]), theirs(ends[1]);
  posix_spawn_file_actions_t actions;
  if (::posix_spawn_file_actions_init(&actions) != 0) return refused(ENOMEM);
  int err = ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (err == 0) err = ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  if (err == 0) err = ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), 2);
  pid_t pid = -1;
  if (err == 0) err = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  theirs.reset();
  if (err != 0) return refused(err);
  auto text = read_fd(ours.get(), kMaxText, "output");
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return succeeded();
  std::string said = text ? *text : "";
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return refused(WIFEXITED(status) && WEXITSTATUS(status) == 126 ? EACCES : 0, said);
}

/// SOCKET METHOD TARGET [BODY]: a request of HTTP. Done for a status below 400; else refused with
/// EACCES (what policy forbids), ENOENT (404) or EIO, and the first of the answer.
Outcome verb_http(const Words& words) {
  auto fd = connect_unix(word_at(words, 0), SOCK_STREAM);
  if (!fd) return refused(fd.error().err);
  const std::string& body = word_at(words, 3);
  std::string request = word_at(words, 1) + " " + word_at(words, 2) +
                        " HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n";
  if (!body.empty()) {
    request +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  request += "\r\n" + body;
  if (::send(fd->get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return refused(errno);
  auto answer = read_fd(fd->get(), kMaxText, "answer");
  constexpr std::size_t kStatus = 9;  // "HTTP/1.1 "
  if (!answer || answer->size() < kStatus + 3) return refused(ECONNRESET);
  const std::string status = answer->substr(kStatus, 3);
  const std::size_t start = answer->find("\r\n\r\n");
  const std::string said =
      status + (start == std::string::npos ? "" : " " + answer->substr(start + 4));
  if (status < "400") return succeeded(said);
  return refused(status == "403" || status == "400" ? EACCES
                 : status == "404"                  ? ENOENT
                                                    : EIO,
                 said);
}

/// PATH: makes directories on the way, and the file with the second word in it.
Outcome verb_plant(const Words& words) {
  const std::string& path = word_at(words, 0);
  if (auto made = make_directories(path_parent(path)); !made) return refused(made.error().err);
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700));
  if (!fd.valid()) return refused(errno);
  auto written = write_all(fd.get(), word_at(words, 1), path);
  return written ? succeeded() : refused(written.error().err);
}

constexpr Verb kVerbs[] = {
    {"broker", verb_broker}, {"broker-packet", verb_broker_packet},
    {"run", verb_run},       {"http", verb_http},
    {"plant", verb_plant},
};

}  // namespace

std::span<const Verb> broker_verbs() { return kVerbs; }

}  // namespace dirbox::verify
