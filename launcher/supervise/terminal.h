#pragma once
#include <termios.h>

#include <functional>
#include <optional>
#include <string>

#include "launcher/base/event_loop.h"
#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/spec.h"
#include "launcher/supervise/newlines.h"

/// The relay between the user's terminal and the command's own.
namespace dirbox::supervise {

/// Theory of operation.
///
/// The command has a terminal of the sandbox's devpts and never holds the user's. What the user
/// types goes to the master, what the command writes comes from it. Init keeps the slave open, so
/// the master reports a hang-up only when init is gone, whatever the command closes.
///
/// The relay is in one of two states. *Taken*: the user's terminal is raw, its input is read, and
/// the command is in the foreground of its own terminal, whose line discipline echoes, edits, and
/// turns Ctrl-C into SIGINT. *Not taken*: the user's terminal is left alone, with its own line
/// discipline; the command is in the background of its terminal, where it may write. It starts
/// taken when dirbox is in the foreground and both stdin and stdout are the terminal. In a pipeline
/// it is not, since a neighbour (less) may be the one who reads the keyboard, and nor is it in the
/// background. A command that then reads its terminal or changes its modes is stopped by the kernel
/// with SIGTTIN or SIGTTOU; init reports that, and the supervisor takes the terminal when dirbox is
/// in the foreground, or else stops the caller's job with the same signal. That is the job control
/// of a shell, one level down, and needs no notice from the shell, which sends none when fg brings
/// forward a job that runs.
///
/// Two cases give no signal; a timer that runs while not taken (kTick) finds them: a shell inside
/// that made a group of its own the foreground, and a line that nobody reads (the command waits
/// with poll). A neighbour that reads keys has turned canonical mode off, so it loses none.
///
/// Output is post-processed once. Raw: by the command's terminal. Otherwise the user's terminal
/// does it for everybody who writes there, so the carriage returns that the command's terminal has
/// added are taken out again; and while taken in a pipeline, the output modes of the user's
/// terminal follow the command's.
///
/// Neither direction holds more than kQueue bytes. A full queue stops the reading on the other
/// side, so a slow terminal blocks the command and a command that does not read blocks the typist,
/// never this process. The user's terminals are opened anew for that: O_NONBLOCK belongs to the
/// open file description, and the inherited one is shared with the shell.
///
/// The modes come back when the command stops or ends, and in the destructor. They are left alone
/// when meanwhile somebody else in the foreground has set others.
class Terminal {
 public:
  struct Hooks {
    /// Continues the command in the foreground of its terminal (true) or puts it out of it.
    std::function<void(bool)> give;
    /// The user typed a key that sends `signal` (SIGINT or SIGQUIT) to the foreground group `group`
    /// of the command's terminal.
    std::function<void(int signal, pid_t group)> typed;
  };

  /// `kinds` tells which of 0-2 is the command's terminal, at least one; those descriptors of this
  /// process are the user's. `loop` must outlive the Terminal.
  Terminal(EventLoop& loop, const sandbox::StdioKind (&kinds)[3], Hooks hooks);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// Modes, size and foreground of the command's terminal at its start.
  void describe(sandbox::RunOptions& options);
  /// Relays through `master` from here on. `idle_group` is the process group that is in the
  /// foreground of the command's terminal while nobody inside has it: init's.
  Result<void> attach(UniqueFd master, pid_t idle_group);
  /// Window size of the user's terminal to the command's.
  void resize();
  /// The answer to Hooks::give. No input is passed on before: Ctrl-C would miss the command.
  void confirm(bool foreground);
  /// False when dirbox is not in the foreground; then nothing has changed. With `give` the command
  /// is continued in the foreground of its terminal, where otherwise it may be already.
  bool take(bool give);
  bool taken() const { return taken_; }
  /// Shows what was written so far and gives the terminal back, before this process stops.
  void release();
  /// After SIGCONT: takes it again with the command (true), or puts the command into the background
  /// of its terminal, which does not continue it.
  bool resume();
  /// Shows what the command wrote last, then gives the terminal back. Waits for a user's terminal
  /// that takes nothing no longer than kPatience.
  void finish();

 private:
  bool in_foreground() const;
  void enter_raw();
  void read_lines(char end_of_file);
  void leave_raw();
  void lose();
  void hang_up();
  void on_user(std::uint32_t events);
  void on_display(std::uint32_t events);
  void on_master(std::uint32_t events);
  void read_user();
  bool read_master();
  void follow_output_modes();
  void write_user();
  void write_master();
  void note_typed(std::string_view bytes);
  void show_pending(EventLoop::Clock::time_point end);
  void watch();
  void watch(int fd, std::uint32_t events, std::uint32_t& known);
  void start_ticking();
  void tick();

  EventLoop& loop_;
  Hooks hooks_;
  UniqueFd user_;     ///< where the user types
  UniqueFd display_;  ///< what the user sees
  UniqueFd master_;
  bool reads_stdin_ = false;     ///< stdin is the terminal
  bool whole_ = false;           ///< stdin and stdout are: nobody else is expected to write there
  bool gives_ = false;           ///< Hooks::give(true) is not confirmed yet
  bool has_foreground_ = false;  ///< the command, of its terminal
  bool taken_ = false, was_taken_ = false;
  pid_t idle_group_ = 0;
  std::optional<termios> initial_;  ///< modes with which the command's terminal began
  std::optional<termios> saved_;    ///< of the user's terminal while it is raw
  termios raw_{};                   ///< what it was set to
  std::string to_user_, to_master_;
  std::uint64_t read_ = 0;  ///< bytes of the master
  NewlineUndo newlines_;
  char last_typed_ = 0;
  std::uint32_t user_events_ = 0, display_events_ = 0, master_events_ = 0;
  EventLoop::TimerId timer_ = 0;
  bool line_waits_ = false;
};

}  // namespace dirbox::supervise
