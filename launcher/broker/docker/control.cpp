#include "launcher/broker/docker/control.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "launcher/base/file.h"
#include "launcher/base/unix_socket.h"

namespace dirbox::docker {
namespace {

constexpr std::uint32_t kMagic = 0x64627864;
constexpr std::size_t kMaxSpec = 1 << 20;

struct WireStart {
  std::uint32_t magic = kMagic;
};
struct WireReport {
  std::uint32_t magic = kMagic;
  std::uint8_t kind = 0;
  char what[128] = {};
  char text[900] = {};
};

template <std::size_t N>
void put(char (&field)[N], const std::string& text) {
  text.copy(field, N - 1);
}

template <std::size_t N>
std::string take(const char (&field)[N]) {
  return std::string(field, ::strnlen(field, N));
}

}  // namespace

Result<void> send_start(int control, const FilterSpec& spec, int listener) {
  UniqueFd memory(::memfd_create("docker", MFD_CLOEXEC));
  if (!memory.valid()) return fail_errno("start the docker filter", "memfd");
  TRY_VOID(write_all(memory.get(), spec_to_json(spec).dump(), "memfd"));
  if (::lseek(memory.get(), 0, SEEK_SET) != 0)
    return fail_errno("start the docker filter", "memfd");
  const std::array<int, 2> fds{memory.get(), listener};
  return send_message(control, as_bytes_of(WireStart{}), fds);
}

Result<Start> receive_start(int control) {
  Message message = TRY(receive_message(control, sizeof(WireStart), 2));
  WireStart wire;
  if (message.end || message.bytes.size() != sizeof wire || message.fds.size() != 2)
    return fail("start the docker filter", "", "a malformed order");
  std::memcpy(&wire, message.bytes.data(), sizeof wire);
  if (wire.magic != kMagic) return fail("start the docker filter", "", "a malformed order");
  Start start;
  std::string json = TRY(read_fd(message.fds[0].get(), kMaxSpec, "memfd"));
  start.spec = TRY(parse_spec(json));
  start.listener = std::move(message.fds[1]);
  return start;
}

Result<void> send_report(int control, const Report& report) {
  WireReport wire;
  wire.kind = static_cast<std::uint8_t>(report.kind);
  put(wire.what, report.what);
  put(wire.text, report.text);
  return send_message(control, as_bytes_of(wire));
}

Result<std::optional<Report>> receive_report(int control) {
  auto message = receive_message(control, sizeof(WireReport), 0);
  if (!message) {
    if (message.error().err == EAGAIN) return std::optional<Report>();
    return Failure(message.error());
  }
  if (message->end) return std::optional<Report>(Report{});
  WireReport wire;
  if (message->bytes.size() != sizeof wire)
    return fail("hear the docker filter", "", "a malformed message");
  std::memcpy(&wire, message->bytes.data(), sizeof wire);
  if (wire.magic != kMagic || wire.kind >= static_cast<std::uint8_t>(Report::Kind::gone))
    return fail("hear the docker filter", "", "a malformed message");
  return std::optional<Report>(
      Report{static_cast<Report::Kind>(wire.kind), take(wire.what), take(wire.text)});
}

}  // namespace dirbox::docker
