#include "launcher/broker/protocol.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

namespace dirbox::broker {
namespace {

constexpr int kRelayedSignals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1,
                                   SIGUSR2, SIGALRM, SIGTERM, SIGTSTP};

Failure malformed(std::string_view what) { return fail("parse a broker message", "", what); }

bool is_known(wire::Type type) {
  switch (type) {
    case wire::Type::exec:
    case wire::Type::signal:
    case wire::Type::winch:
    case wire::Type::cont:
    case wire::Type::pty:
    case wire::Type::started:
    case wire::Type::stopped:
    case wire::Type::exit:
    case wire::Type::fail:
      return true;
  }
  return false;
}

/// Takes NUL-terminated strings off the front of a buffer.
class StringWalk {
 public:
  explicit StringWalk(std::span<const std::byte> bytes)
      : rest_(reinterpret_cast<const char*>(bytes.data()), bytes.size()) {}

  Result<std::string_view> next() {
    std::size_t end = rest_.find('\0');
    if (end == std::string_view::npos) return malformed("a string is missing");
    std::string_view out = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return out;
  }
  Result<std::vector<std::string_view>> take(std::uint32_t count) {
    std::vector<std::string_view> out;
    for (std::uint32_t i = 0; i < count; ++i) out.push_back(TRY(next()));
    return out;
  }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

void append(std::vector<std::byte>& out, const void* data, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  out.insert(out.end(), bytes, bytes + size);
}

void append(std::vector<std::byte>& out, std::string_view text) {
  append(out, text.data(), text.size());
  out.push_back(std::byte{0});
}

}  // namespace

bool is_relayed_signal(int signal) {
  return std::find(std::begin(kRelayedSignals), std::end(kRelayedSignals), signal) !=
         std::end(kRelayedSignals);
}

Result<Packet> parse_packet(std::span<const std::byte> datagram) {
  wire::Header header;
  if (datagram.size() < sizeof header) return malformed("shorter than its header");
  std::memcpy(&header, datagram.data(), sizeof header);
  if (header.magic != wire::kMagic) return malformed("not a broker message");
  if (header.version != wire::kVersion) return malformed("another version of the protocol");
  if (!is_known(header.type)) return malformed("unknown type");
  return Packet{header.type, header.a, header.b, datagram.subspan(sizeof header)};
}

Result<ExecRequest> parse_exec(std::uint32_t flags, std::span<const std::byte> body) {
  wire::Exec fixed;
  if ((flags & ~wire::kKnownFlags) != 0) return malformed("unknown flag");
  if (body.size() < sizeof fixed) return malformed("shorter than its fixed part");
  if (body.size() > wire::kMaxBody) return malformed("longer than 1 MiB");
  std::memcpy(&fixed, body.data(), sizeof fixed);
  if (fixed.argc == 0) return malformed("no arguments");
  if (fixed.argc > wire::kMaxArguments) return malformed("too many arguments");
  if (fixed.envc > wire::kMaxVariables) return malformed("too many variables");

  ExecRequest request;
  request.want_pty = (flags & wire::kWantPty) != 0;
  request.pty_stderr = request.want_pty && (flags & wire::kPtyStderr) != 0;
  request.terminal = fixed.terminal;
  StringWalk strings(body.subspan(sizeof fixed));
  request.cwd = TRY(strings.next());
  request.argv = TRY(strings.take(fixed.argc));
  request.env = TRY(strings.take(fixed.envc));
  if (!strings.empty()) return malformed("bytes after the last string");
  return request;
}

Result<Control> parse_control(const Packet& packet) {
  if (!packet.rest.empty()) return malformed("bytes after the header");
  Control control;
  control.type = packet.type;
  switch (packet.type) {
    case wire::Type::signal:
      if (packet.a > 64 || !is_relayed_signal(static_cast<int>(packet.a))) {
        return malformed("a signal that is not relayed");
      }
      control.signal = static_cast<int>(packet.a);
      return control;
    case wire::Type::winch:
      if (packet.a > 0xffff || packet.b > 0xffff) return malformed("window size over 65535");
      control.rows = static_cast<std::uint16_t>(packet.a);
      control.columns = static_cast<std::uint16_t>(packet.b);
      return control;
    case wire::Type::cont:
      return control;
    default:
      return malformed("not a message for a running command");
  }
}

std::vector<std::byte> encode_packet(wire::Type type, std::uint32_t a, std::uint32_t b,
                                     std::string_view text) {
  wire::Header header{wire::kMagic, wire::kVersion, type, a, b};
  std::vector<std::byte> out;
  append(out, &header, sizeof header);
  append(out, text.data(), std::min(text.size(), wire::kMaxText));
  return out;
}

std::vector<std::byte> encode_exec(const ExecRequest& request) {
  wire::Exec fixed{static_cast<std::uint32_t>(request.argv.size()),
                   static_cast<std::uint32_t>(request.env.size()), request.terminal};
  std::vector<std::byte> out;
  append(out, &fixed, sizeof fixed);
  append(out, request.cwd);
  for (std::string_view argument : request.argv) append(out, argument);
  for (std::string_view variable : request.env) append(out, variable);
  return out;
}

Result<std::vector<std::byte>> read_sealed(int fd, std::size_t bytes) {
  constexpr int kSeals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
  constexpr std::string_view kDoing = "read a broker request from a memfd";
  if (bytes > wire::kMaxBody) return malformed("longer than 1 MiB");
  int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0) return fail_errno(kDoing, "");
  if ((seals & kSeals) != kSeals) return malformed("a memfd that is not sealed");
  struct stat st {};
  if (::fstat(fd, &st) != 0) return fail_errno(kDoing, "");
  if (st.st_size < 0 || static_cast<std::size_t>(st.st_size) != bytes) {
    return malformed("a memfd of another size");
  }
  std::vector<std::byte> out(bytes);
  for (std::size_t done = 0; done < bytes;) {
    ssize_t n = ::pread(fd, out.data() + done, bytes - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(kDoing, "");
    if (n == 0) return malformed("a memfd of another size");
    done += static_cast<std::size_t>(n);
  }
  return out;
}

}  // namespace dirbox::broker
