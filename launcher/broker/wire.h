#pragma once
#include <cstddef>
#include <cstdint>

/// The broker protocol as bytes, in plain structs that the freestanding shim shares with the
/// server. Every number is in the byte order of the machine: both ends run on the same one.
/// dirbox-broker(5) describes the messages.
namespace dirbox::broker::wire {

inline constexpr std::uint32_t kMagic = 0x58424444;  // "DDBX"
inline constexpr std::uint16_t kVersion = 1;

enum class Type : std::uint16_t {
  // shim to server
  exec = 1,    ///< a = ExecFlags, b = bytes of the body; descriptors 0, 1, 2, cwd [, body]
  signal = 2,  ///< a = signal number
  winch = 3,   ///< a = rows, b = columns
  cont = 4,
  // server to shim
  pty = 17,      ///< carries the master
  started = 18,  ///< b = pid, between monitor and server only
  stopped = 19,  ///< a = signal number
  exit = 20,     ///< a = wait status as of wait(2)
  fail = 21,     ///< a = exit status for the shim, then text
};

struct Header {
  std::uint32_t magic;
  std::uint16_t version;
  Type type;
  std::uint32_t a;
  std::uint32_t b;
};
static_assert(sizeof(Header) == 16);

enum ExecFlags : std::uint32_t {
  kWantPty = 1,      ///< descriptors 0 and 1 are the caller's terminal
  kPtyStderr = 2,    ///< so is 2
  kBodyInMemfd = 4,  ///< the body is the content of a fifth descriptor, a sealed memfd
  kKnownFlags = 7,
};

/// The caller's terminal: struct winsize, and the part of the kernel's struct termios that a pty
/// has a use for.
struct Terminal {
  std::uint16_t rows, columns, x_pixels, y_pixels;
  std::uint32_t input, output, control, local;
  std::uint8_t characters[20];
};
static_assert(sizeof(Terminal) == 44);

/// Body of EXEC: this, then NUL-terminated strings: cwd, `argc` arguments, `envc` variables.
struct Exec {
  std::uint32_t argc;
  std::uint32_t envc;
  Terminal terminal;
};
static_assert(sizeof(Exec) == 52);

inline constexpr std::size_t kMaxDatagram = 32 << 10;  // a larger body goes in a memfd
inline constexpr std::size_t kMaxBody = 1 << 20;
inline constexpr std::uint32_t kMaxArguments = 4096;
inline constexpr std::uint32_t kMaxVariables = 4096;
inline constexpr std::size_t kMaxText = 1024;

/// An image of the shim holds this tag once, followed by room for the path of its socket.
inline constexpr std::size_t kTagBytes = 16;
inline constexpr std::size_t kSocketPathBytes = 108;  // sizeof sockaddr_un::sun_path

}  // namespace dirbox::broker::wire
