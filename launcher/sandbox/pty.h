#pragma once
#include <sys/ioctl.h>
#include <termios.h>

#include <optional>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

namespace dirbox::sandbox {

struct Pty {
  UniqueFd master, slave;
};
/// A terminal of the devpts instance at /dev/pts, both ends close-on-exec and nobody's controlling
/// terminal yet. Inside, that is the sandbox's own instance.
Result<Pty> make_pty(const std::optional<termios>& modes, const std::optional<winsize>& size);

}  // namespace dirbox::sandbox
