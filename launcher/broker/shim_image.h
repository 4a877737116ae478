#pragma once
#include <string>
#include <string_view>

#include "launcher/base/result.h"

/// The shim as part of this program.
namespace dirbox::broker {

/// Where the sandbox puts the sockets: kSocketDirectory/COMMAND.sock.
inline constexpr std::string_view kSocketDirectory = "/run/dirbox/broker";

/// The path of a command's socket inside the sandbox.
std::string socket_path_of(std::string_view command);

/// An ELF executable (about 10 KiB) that asks the broker at `socket_path`, a path inside the
/// sandbox. One image per command: which command a shim stands for is in its content, so neither
/// its name nor argv[0] matters. Errors: a path that does not fit sun_path.
Result<std::string> make_shim_image(std::string_view socket_path);

}  // namespace dirbox::broker
