#include "launcher/sandbox/control.h"

#include <algorithm>
#include <cstring>

#include "launcher/base/unix_socket.h"

namespace dirbox::sandbox {
namespace {

constexpr std::size_t kMaxMessage = 8192;
constexpr std::size_t kMaxFds = 8;

struct Header {
  std::uint32_t type;
  std::int32_t a;
};

}  // namespace

Result<void> send_control(int socket, ControlType type, std::int32_t a, std::string_view text,
                          const std::vector<int>& fds) {
  Header header{static_cast<std::uint32_t>(type), a};
  std::vector<std::byte> bytes(sizeof header + std::min(text.size(), kMaxMessage - sizeof header));
  std::memcpy(bytes.data(), &header, sizeof header);
  text.copy(reinterpret_cast<char*>(bytes.data() + sizeof header), bytes.size() - sizeof header);
  return send_message(socket, bytes, fds);
}

Result<Received> receive_control(int socket) {
  Message message = TRY(receive_message(socket, kMaxMessage, kMaxFds));
  Received received;
  if (message.end) {
    received.closed = true;
    return received;
  }
  Header header{};
  if (message.bytes.size() < sizeof header) return fail("read a control message", "", "too short");
  std::memcpy(&header, message.bytes.data(), sizeof header);
  received.control.type = static_cast<ControlType>(header.type);
  received.control.a = header.a;
  received.control.text.assign(reinterpret_cast<const char*>(message.bytes.data()) + sizeof header,
                               message.bytes.size() - sizeof header);
  received.control.fds = std::move(message.fds);
  return received;
}

std::string encode_error(const Error& error) {
  return error.doing + '\0' + error.operand + '\0' + error.detail + '\0' + error.hint;
}

Error decode_error(std::int32_t err, std::string_view text) {
  Error error;
  error.err = err;
  std::string* parts[] = {&error.doing, &error.operand, &error.detail, &error.hint};
  for (std::string* part : parts) {
    std::size_t end = std::min(text.find('\0'), text.size());
    *part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return error;
}

}  // namespace dirbox::sandbox
