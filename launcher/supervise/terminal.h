#pragma once
#include <termios.h>

#include <optional>
#include <string>

#include "launcher/base/event_loop.h"
#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/spec.h"

/// The relay between the user's terminal and the command's own.
namespace dirbox::supervise {

/// Theory of operation: the command has a terminal of the sandbox's devpts and never holds the
/// user's. What the user types goes to the master, what the command writes comes from it. While
/// dirbox is in the foreground and reads from a terminal, that terminal is raw, so that Ctrl-C and
/// Ctrl-Z are bytes that the command's own line discipline turns into signals. The saved state
/// comes back when the command stops or ends, on every path (the destructor included).
class Terminal {
 public:
  /// `kinds` tells which of 0-2 is the command's terminal; those descriptors of this process are
  /// the user's. `loop` must outlive the Terminal.
  Terminal(EventLoop& loop, const sandbox::StdioKind (&kinds)[3]);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// Takes the master, copies the window size, and starts to relay.
  Result<void> attach(UniqueFd master);
  /// Window size of the user's terminal to the command's.
  void resize();
  /// Gives the terminal back before this process stops.
  void suspend();
  /// Takes it again after SIGCONT.
  void resume();
  /// Writes what the command wrote last, then restores.
  void finish();

 private:
  void on_input(std::uint32_t events);
  void on_master(std::uint32_t events);
  void enter_raw();
  void leave_raw();

  EventLoop& loop_;
  int input_ = -1, output_ = -1;
  UniqueFd master_;
  std::optional<termios> saved_;
  std::string to_master_;
};

}  // namespace dirbox::supervise
