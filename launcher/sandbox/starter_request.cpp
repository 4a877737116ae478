#include <algorithm>
#include <cstring>
#include <string_view>

#include "launcher/base/unix_socket.h"
#include "launcher/sandbox/starter.h"

namespace dirbox::sandbox {
namespace {

/// A client and a supervisor of different builds do not understand one another.
constexpr std::uint32_t kMagic = 0x64620001;

struct Head {
  std::uint32_t magic;
  std::uint8_t terminal[3];  ///< 1: the terminal, 0: a descriptor that is passed
  std::uint8_t has_modes, has_size;
  termios modes;
  winsize size;
};

bool is_terminal_name(std::string_view name) {
  constexpr std::size_t kLongest = 64;
  return name.size() <= kLongest && std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || c == '_' || c == '+';
         });
}

}  // namespace

std::size_t StartRequest::passed() const {
  return static_cast<std::size_t>(std::count(std::begin(stdio), std::end(stdio), StdioKind::pass));
}

std::vector<std::byte> encode_start(const StartRequest& request) {
  Head head;
  std::memset(&head, 0, sizeof head);  // the padding too
  head.magic = kMagic;
  for (int fd = 0; fd < 3; ++fd) head.terminal[fd] = request.stdio[fd] == StdioKind::pty ? 1 : 0;
  if (request.modes) {
    head.has_modes = 1;
    head.modes = *request.modes;
  }
  if (request.size) {
    head.has_size = 1;
    head.size = *request.size;
  }
  std::string text = request.term + '\0';
  for (const std::string& word : request.argv) text += word + '\0';
  std::vector<std::byte> bytes(sizeof head + text.size());
  std::memcpy(bytes.data(), &head, sizeof head);
  std::memcpy(bytes.data() + sizeof head, text.data(), text.size());
  return bytes;
}

Result<StartRequest> parse_start(std::span<const std::byte> bytes) {
  constexpr std::string_view kDoing = "read a request to attach";
  Head head;
  if (bytes.size() <= sizeof head || bytes.size() > kMaxStartRequest)
    return fail(kDoing, "", "its length");
  std::memcpy(&head, bytes.data(), sizeof head);
  if (head.magic != kMagic)
    return fail(kDoing, "", "it comes from another version of dirbox",
                "use the version that started the session");
  StartRequest request;
  for (int fd = 0; fd < 3; ++fd) {
    request.stdio[fd] = head.terminal[fd] != 0 ? StdioKind::pty : StdioKind::pass;
  }
  if (head.has_modes != 0) request.modes = head.modes;
  if (head.has_size != 0) request.size = head.size;
  std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof head,
                        bytes.size() - sizeof head);
  if (text.back() != '\0') return fail(kDoing, "", "a word without end");
  std::vector<std::string> words;
  while (!text.empty()) {
    const std::size_t end = text.find('\0');
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  if (!is_terminal_name(words.front())) return fail(kDoing, "TERM", "not the name of a terminal");
  request.term = words.front();
  request.argv.assign(words.begin() + 1, words.end());
  if (!request.argv.empty() && request.argv.front().empty())
    return fail(kDoing, "", "a command without a name");
  return request;
}

}  // namespace dirbox::sandbox
