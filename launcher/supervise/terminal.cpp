#include "launcher/supervise/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "launcher/base/file.h"

namespace dirbox::supervise {

Terminal::Terminal(EventLoop& loop, const sandbox::StdioKind (&kinds)[3]) : loop_(loop) {
  if (kinds[0] == sandbox::StdioKind::pty) input_ = 0;
  for (int fd : {1, 2}) {
    if (output_ < 0 && kinds[fd] == sandbox::StdioKind::pty) output_ = fd;
  }
  if (output_ < 0) output_ = input_;
}

Terminal::~Terminal() { leave_raw(); }

Result<void> Terminal::attach(UniqueFd master) {
  master_ = std::move(master);
  resize();
  enter_raw();
  TRY_VOID(loop_.add(master_.get(), EPOLLIN, [this](std::uint32_t events) { on_master(events); }));
  if (input_ >= 0)
    TRY_VOID(loop_.add(input_, EPOLLIN, [this](std::uint32_t events) { on_input(events); }));
  return {};
}

void Terminal::resize() {
  winsize size{};
  int source = input_ >= 0 ? input_ : output_;
  if (master_.valid() && ::ioctl(source, TIOCGWINSZ, &size) == 0)
    ::ioctl(master_.get(), TIOCSWINSZ, &size);
}

void Terminal::suspend() { leave_raw(); }

void Terminal::resume() {
  enter_raw();
  resize();
}

void Terminal::enter_raw() {
  if (input_ < 0 || saved_ || ::tcgetpgrp(input_) != ::getpgrp()) return;
  termios state{};
  if (::tcgetattr(input_, &state) != 0) return;
  saved_ = state;
  ::cfmakeraw(&state);
  ::tcsetattr(input_, TCSADRAIN, &state);
}

void Terminal::leave_raw() {
  if (saved_) ::tcsetattr(input_, TCSADRAIN, &*saved_);
  saved_.reset();
}

void Terminal::on_input(std::uint32_t) {
  char buffer[4096];
  ssize_t n = ::read(input_, buffer, sizeof buffer);
  if (n <= 0) {
    loop_.remove(input_);
    return;
  }
  if (!write_all(master_.get(), {buffer, static_cast<std::size_t>(n)}, "terminal"))
    loop_.remove(input_);
}

void Terminal::on_master(std::uint32_t) {
  char buffer[16384];
  ssize_t n = ::read(master_.get(), buffer, sizeof buffer);
  if (n <= 0) {
    loop_.remove(master_.get());
    return;
  }
  if (!write_all(output_, {buffer, static_cast<std::size_t>(n)}, "terminal"))
    loop_.remove(master_.get());
}

void Terminal::finish() { leave_raw(); }

}  // namespace dirbox::supervise
