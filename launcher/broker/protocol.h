#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/broker/wire.h"

/// Reading and writing the messages between the shim and the broker. Everything that arrives here
/// was written by the sandbox.
namespace dirbox::broker {

/// A datagram cut into header and rest. Views into the datagram.
struct Packet {
  wire::Type type{};
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  std::span<const std::byte> rest;
};
/// Errors: short, foreign magic, another version, an unknown type.
Result<Packet> parse_packet(std::span<const std::byte> datagram);

/// What a shim asks for. Views into the body; argv holds at least the name.
struct ExecRequest {
  bool want_pty = false;
  bool pty_stderr = false;
  wire::Terminal terminal{};
  std::string_view cwd;
  std::vector<std::string_view> argv;
  std::vector<std::string_view> env;
};
/// `flags` of the EXEC packet and its body, wherever that came from. The counts that the body
/// claims are limits of the walk, never sizes of an allocation. Errors: over a limit of wire.h,
/// strings missing, bytes left over.
Result<ExecRequest> parse_exec(std::uint32_t flags, std::span<const std::byte> body);

/// SIGNAL, WINCH and CONT.
struct Control {
  wire::Type type{};
  int signal = 0;
  std::uint16_t rows = 0, columns = 0;
};
/// Errors: another type, a signal that may not be sent, sizes over 65535, bytes left over.
Result<Control> parse_control(const Packet& packet);

/// True for the signals that a shim may have sent to its command: those that a terminal or a user
/// sends to a foreground job. Stop and continue have their own messages except for SIGTSTP.
bool is_relayed_signal(int signal);

/// A packet without or with text (cut at wire::kMaxText).
std::vector<std::byte> encode_packet(wire::Type type, std::uint32_t a = 0, std::uint32_t b = 0,
                                     std::string_view text = {});
/// EXEC body, for tests and for tools that speak the protocol without the shim.
std::vector<std::byte> encode_exec(const ExecRequest& request);

/// The content of a memfd that nobody can change any more: F_SEAL_WRITE, GROW and SHRINK are set,
/// and its size is `bytes`, at most wire::kMaxBody.
Result<std::vector<std::byte>> read_sealed(int fd, std::size_t bytes);

}  // namespace dirbox::broker
