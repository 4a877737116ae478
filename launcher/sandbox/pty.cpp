#include "launcher/sandbox/pty.h"

#include <fcntl.h>

namespace dirbox::sandbox {

Result<Pty> make_pty(const std::optional<termios>& modes, const std::optional<winsize>& size) {
  Pty pty;
  pty.master.reset(::open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!pty.master.valid()) return fail_errno("open a terminal", "/dev/pts/ptmx");
  int unlock = 0;
  if (::ioctl(pty.master.get(), TIOCSPTLCK, &unlock) != 0)
    return fail_errno("unlock a terminal", "");
  pty.slave.reset(::ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  const int slave = pty.slave.get();
  if (slave < 0) return fail_errno("open a terminal", "its slave");
  if (modes && ::tcsetattr(slave, TCSANOW, &*modes) != 0)
    return fail_errno("set the terminal's modes", "");
  if (size && ::ioctl(slave, TIOCSWINSZ, &*size) != 0)
    return fail_errno("set the terminal's size", "");
  return pty;
}

}  // namespace dirbox::sandbox
