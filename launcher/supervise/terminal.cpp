#include "launcher/supervise/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

namespace dirbox::supervise {

using sandbox::StdioKind;

namespace {

/// Bytes that wait in one direction before the other side is no longer read.
constexpr std::size_t kQueue = 64 << 10;
/// What one call relays before other sources get their turn.
constexpr int kReadsPerTurn = 16;
/// A terminal that cannot be opened anew is written to in pieces so small that poll(2)'s word
/// holds: the kernel reports a terminal as writable when it has room for 256 bytes.
constexpr std::size_t kBlockingWrite = 128;
constexpr std::chrono::milliseconds kTick{250};
/// More than a terminal holds of what nobody has read: 8 KiB (drivers/tty/pty.c) and a line.
constexpr std::size_t kHeld = 64 << 10;
constexpr int kPatience = 2000;  ///< ms without progress after which the last output is dropped

bool is_same_terminal(int a, int b) {
  unsigned device_a = 0, device_b = 0;
  return ::ioctl(a, TIOCGDEV, &device_a) == 0 && ::ioctl(b, TIOCGDEV, &device_b) == 0 &&
         device_a == device_b;
}

/// The terminal of `fd` with an open file description of its own, non-blocking. Where the caller
/// may not open it (su leaves it to its first owner) and it is not the controlling terminal either,
/// a duplicate, which blocks.
UniqueFd open_again(int fd, int mode) {
  const int flags = mode | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
  UniqueFd own(::open(fmt::format("/proc/self/fd/{}", fd).c_str(), flags));
  if (own.valid()) return own;
  own.reset(::open("/dev/tty", flags));
  if (own.valid() && is_same_terminal(own.get(), fd)) return own;
  return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

bool is_equal(const termios& a, const termios& b) {
  return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_cflag == b.c_cflag &&
         a.c_lflag == b.c_lflag && std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) == 0;
}

/// Also from the background. At once: waiting for the output (TCSADRAIN) could take for ever, and
/// a terminal post-processes what is written when it is written.
bool set_modes(int fd, const termios& modes) {
  sigset_t stop, previous;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTTOU);
  if (::sigprocmask(SIG_BLOCK, &stop, &previous) != 0) return false;
  bool done = ::tcsetattr(fd, TCSANOW, &modes) == 0;
  return ::sigprocmask(SIG_SETMASK, &previous, nullptr) == 0 && done;
}

/// Bytes written, 0 when it would block, -1 when the terminal is gone.
ssize_t write_some(int fd, std::string_view bytes) {
  std::size_t size = bytes.size();
  if ((::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0) {
    pollfd check{fd, POLLOUT, 0};
    if (::poll(&check, 1, 0) <= 0) return 0;
    size = std::min(size, kBlockingWrite);
  }
  ssize_t n = ::write(fd, bytes.data(), size);
  return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

}  // namespace

Terminal::Terminal(EventLoop& loop, const StdioKind (&kinds)[3], Hooks hooks)
    : loop_(loop), hooks_(std::move(hooks)) {
  auto first = [&](std::initializer_list<int> order) {
    for (int fd : order) {
      if (kinds[fd] == StdioKind::pty) return fd;
    }
    return 0;
  };
  user_ = open_again(first({0, 1, 2}), O_RDONLY);
  display_ = open_again(first({1, 2, 0}), O_WRONLY);
  reads_stdin_ = kinds[0] == StdioKind::pty;
  whole_ = reads_stdin_ && kinds[1] == StdioKind::pty && is_same_terminal(0, 1);
}

Terminal::~Terminal() {
  leave_raw();
  if (timer_ != 0) loop_.cancel(timer_);
}

bool Terminal::in_foreground() const {
  pid_t group = ::tcgetpgrp(user_.get());
  return group < 0 ? errno == ENOTTY : group == ::getpgrp();  // not the controlling one: no jobs
}

void Terminal::describe(sandbox::RunOptions& options) {
  termios modes{};
  if (::tcgetattr(user_.get(), &modes) == 0) options.terminal_modes = initial_ = modes;
  winsize size{};
  if (::ioctl(user_.get(), TIOCGWINSZ, &size) == 0) options.terminal_size = size;
  options.foreground = has_foreground_ = whole_ && in_foreground();
}

Result<void> Terminal::attach(UniqueFd master, pid_t idle_group) {
  master_ = std::move(master);
  idle_group_ = idle_group;
  int flags = ::fcntl(master_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(master_.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("make non-blocking", "the command's terminal");
  auto add = [this](const UniqueFd& fd, void (Terminal::*callback)(std::uint32_t)) {
    return loop_.add(fd.get(), 0, [=, this](std::uint32_t events) { (this->*callback)(events); });
  };
  TRY_VOID(add(master_, &Terminal::on_master));
  TRY_VOID(add(user_, &Terminal::on_user));
  TRY_VOID(add(display_, &Terminal::on_display));
  if (!has_foreground_ || !take(false)) lose();
  resize();
  watch();
  return {};
}

void Terminal::resize() {
  winsize size{};
  if (master_.valid() && ::ioctl(user_.get(), TIOCGWINSZ, &size) == 0)
    ::ioctl(master_.get(), TIOCSWINSZ, &size);
}

bool Terminal::take(bool give) {
  if (!master_.valid() || !in_foreground()) return false;
  if (!taken_) {
    enter_raw();
    taken_ = was_taken_ = true;
    resize();
  }
  if (give || !has_foreground_) {
    gives_ = has_foreground_ = true;
    hooks_.give(true);
  }
  watch();
  return true;
}

void Terminal::confirm(bool foreground) {
  if (foreground) gives_ = false;
  watch();
}

void Terminal::lose() {
  leave_raw();
  taken_ = false;
  if (has_foreground_) hooks_.give(false);
  gives_ = has_foreground_ = false;
  start_ticking();
  watch();
}

void Terminal::release() {
  show_pending(EventLoop::Clock::now() + std::chrono::milliseconds(kPatience));
  leave_raw();
  taken_ = false;
  watch();
}

bool Terminal::resume() {
  resize();
  if ((whole_ || was_taken_) && take(true)) return true;
  if (master_.valid()) lose();
  return false;
}

void Terminal::enter_raw() {
  termios present{};
  if (::tcgetattr(user_.get(), &present) != 0) return;
  if (!saved_ || !is_equal(present, raw_)) saved_ = present;
  raw_ = present;
  ::cfmakeraw(&raw_);
  raw_.c_cflag = present.c_cflag;
  termios inner{};
  bool known = ::tcgetattr(master_.get(), &inner) == 0;
  if (!whole_ && known) raw_.c_oflag = inner.c_oflag;
  // What was found at the start in the background were the modes of the shell's line editor.
  if (!was_taken_ && known && initial_ && is_equal(inner, *initial_) && !is_equal(inner, *saved_)) {
    set_modes(master_.get(), *saved_);
  }
  if ((present.c_lflag & ICANON) != 0) read_lines(static_cast<char>(present.c_cc[VEOF]));
  if (!set_modes(user_.get(), raw_)) saved_.reset();
}

/// What was typed while the user's terminal still made lines of it: there an end of file is a
/// mark, which a switch to raw mode would turn into a NUL.
void Terminal::read_lines(char end_of_file) {
  pollfd line{user_.get(), POLLIN, 0};
  while (to_master_.size() < kQueue && ::poll(&line, 1, 0) == 1 && line.revents == POLLIN) {
    char bytes[4096];
    ssize_t n = ::read(user_.get(), bytes, sizeof bytes);
    if (n < 0) return;
    to_master_.append(bytes, static_cast<std::size_t>(n));
    if (n == 0 || bytes[n - 1] != '\n') to_master_ += end_of_file;
  }
}

void Terminal::leave_raw() {
  termios present{};
  if (saved_ && ::tcgetattr(user_.get(), &present) == 0 &&
      (in_foreground() || is_equal(present, raw_))) {
    set_modes(user_.get(), *saved_);
  }
  saved_.reset();
}

/// The user's terminal is gone: so is the command's, whose kernel side sends SIGHUP.
void Terminal::hang_up() {
  for (const UniqueFd* fd : {&user_, &display_, &master_}) {
    if (fd->valid()) loop_.remove(fd->get());
  }
  master_.reset();
  saved_.reset();
  taken_ = false;
  to_user_.clear();
  to_master_.clear();
}

void Terminal::on_user(std::uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) return hang_up();
  if (!taken_ || gives_) return;
  if (!in_foreground()) return lose();
  read_user();
  if (master_.valid()) watch();
}

void Terminal::on_display(std::uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) return hang_up();
  write_user();
  if (master_.valid()) watch();
}

void Terminal::on_master(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) write_master();
  bool more = true;
  for (int i = 0; i < kReadsPerTurn && more && to_user_.empty() && master_.valid(); ++i) {
    more = read_master();
  }
  if (!master_.valid()) return;
  // Init is gone; finish() reads what there is.
  if ((events & EPOLLHUP) != 0) return loop_.remove(master_.get());
  watch();
}

void Terminal::read_user() {
  char bytes[4096];
  ssize_t n = ::read(user_.get(), bytes, sizeof bytes);
  if (n < 0 && errno != EAGAIN && errno != EINTR) return hang_up();
  if (n <= 0) return;
  std::string_view typed(bytes, static_cast<std::size_t>(n));
  to_master_ += typed;
  note_typed(typed);
  write_master();
}

/// A signal key reaches the command as a byte that its terminal interprets. The rest of the
/// caller's job, which a signal from the user's own terminal would have reached, sees nothing.
/// What is a signal key there, the command does not choose.
void Terminal::note_typed(std::string_view bytes) {
  termios inner{};
  if (::tcgetattr(master_.get(), &inner) != 0 || (inner.c_lflag & ISIG) == 0) return;
  pid_t group = 0;
  if (::ioctl(master_.get(), TIOCGPGRP, &group) != 0) return;
  constexpr struct { int key, signal; } kKeys[] = {{VINTR, SIGINT}, {VQUIT, SIGQUIT}};
  for (char byte : bytes) {
    char before = std::exchange(last_typed_, byte);
    bool quoted = (inner.c_lflag & IEXTEN) != 0 && byte != 0 &&
                  before == static_cast<char>(inner.c_cc[VLNEXT]);
    if (quoted) continue;
    for (auto [key, signal] : kKeys) {
      bool means = byte == static_cast<char>(inner.c_cc[key]) && inner.c_cc[key] != _POSIX_VDISABLE;
      if (means && saved_ && saved_->c_cc[key] == inner.c_cc[key])
        return hooks_.typed(signal, group);
    }
  }
}

/// False when there is nothing to read for the moment, or any more.
bool Terminal::read_master() {
  char bytes[4096];
  ssize_t n = ::read(master_.get(), bytes, sizeof bytes);
  if (n <= 0) {
    newlines_.flush(to_user_);
    write_user();
    return false;
  }
  std::string_view shown(bytes, static_cast<std::size_t>(n));
  read_ += shown.size();
  if (taken_ && whole_) {
    newlines_.flush(to_user_);
    if (to_user_.empty()) {
      ssize_t done = write_some(display_.get(), shown);
      if (done > 0) shown.remove_prefix(static_cast<std::size_t>(done));
    }
    to_user_ += shown;
  } else {
    follow_output_modes();
    termios inner{};
    bool adds = ::tcgetattr(master_.get(), &inner) == 0 && (inner.c_oflag & OPOST) != 0 &&
                (inner.c_oflag & ONLCR) != 0;
    if (adds)
      newlines_.append(shown, to_user_);
    else
      to_user_ += shown;
  }
  write_user();
  return true;
}

/// While taken in a pipeline.
void Terminal::follow_output_modes() {
  termios inner{};
  if (!taken_ || !saved_ || ::tcgetattr(master_.get(), &inner) != 0 ||
      inner.c_oflag == raw_.c_oflag) {
    return;
  }
  raw_.c_oflag = inner.c_oflag;
  set_modes(user_.get(), raw_);
}

void Terminal::write_user() {
  while (!to_user_.empty()) {
    ssize_t n = write_some(display_.get(), to_user_);
    if (n < 0) return hang_up();
    if (n == 0) return;
    to_user_.erase(0, static_cast<std::size_t>(n));
  }
}

void Terminal::write_master() {
  while (!to_master_.empty()) {
    ssize_t n = write_some(master_.get(), to_master_);
    if (n < 0) return to_master_.clear();  // init is gone, and with it who could read
    if (n == 0) return;
    to_master_.erase(0, static_cast<std::size_t>(n));
  }
}

/// What was written by now, until `end`: somebody inside may go on writing.
void Terminal::show_pending(EventLoop::Clock::time_point end) {
  const std::uint64_t most = read_ + kHeld;
  while (master_.valid() && EventLoop::Clock::now() < end) {
    while (master_.valid() && to_user_.empty() && read_ < most && read_master()) {
    }
    if (!master_.valid() || to_user_.empty()) return;
    pollfd room{display_.get(), POLLOUT, 0};
    int ready = ::poll(&room, 1, kPatience);
    if (ready == 0 || (ready < 0 && errno != EINTR)) return;
    write_user();
  }
}

void Terminal::finish() {
  // However slow the user's terminal takes it, it comes to an end.
  show_pending(EventLoop::Clock::time_point::max());
  leave_raw();
  // What is typed from here on is for whoever reads the terminal next.
  taken_ = false;
  watch(user_.get(), 0, user_events_);
}

void Terminal::watch() {
  if (!master_.valid()) return;
  watch(user_.get(), taken_ && !gives_ && to_master_.size() < kQueue ? EPOLLIN : 0u, user_events_);
  watch(display_.get(), to_user_.empty() ? 0u : EPOLLOUT, display_events_);
  watch(master_.get(), (to_user_.empty() ? EPOLLIN : 0u) | (to_master_.empty() ? 0u : EPOLLOUT),
        master_events_);
}

void Terminal::watch(int fd, std::uint32_t events, std::uint32_t& known) {
  if (events == known) return;
  // Fails only for a source that has been removed at its end.
  if (loop_.modify(fd, events)) known = events;
}

void Terminal::start_ticking() {
  if (timer_ == 0) timer_ = loop_.after(kTick, [this] { tick(); });
}

void Terminal::tick() {
  timer_ = 0;
  if (taken_ || !master_.valid()) return;
  pid_t group = 0;
  bool claimed =
      ::ioctl(master_.get(), TIOCGPGRP, &group) == 0 && group > 0 && group != idle_group_;
  pollfd line{user_.get(), POLLIN, 0};
  termios modes{};
  bool waited = reads_stdin_ && ::poll(&line, 1, 0) == 1 && (line.revents & POLLIN) != 0 &&
                ::tcgetattr(user_.get(), &modes) == 0 && (modes.c_lflag & ICANON) != 0;
  bool unread = waited && std::exchange(line_waits_, waited);
  line_waits_ = waited;
  // Whoever claimed the foreground keeps it.
  has_foreground_ |= claimed;
  if ((claimed || unread) && take(false)) return;
  start_ticking();
}

}  // namespace dirbox::supervise
