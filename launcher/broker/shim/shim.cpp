#include <linux/resource.h>
#include <linux/signal.h>
#include <linux/socket.h>

#include "launcher/broker/shim/request.h"
#include "launcher/broker/shim/sys.h"
#include "launcher/broker/wire.h"

/// Theory of operation. The shim stands in the sandbox where an excluded command would: it asks the
/// broker to run that command on the host, and then behaves to its parent as if it were the
/// command. It has no authority of its own; whatever it can ask, every process of the sandbox can
/// ask.
///
/// It knows its command only by the path of its socket, written into its image when the sandbox was
/// made: a link, a copy or another argv[0] never changes which command it stands for.
///
/// One loop over at most four descriptors. FD mode (descriptors 0 or 1 are no terminal): the broker
/// gives 0-2 to the command and the shim only passes signals. PTY mode (both are): the broker makes
/// a pty, gives its master to the shim, and the shim puts the caller's terminal in raw mode and
/// copies, so that Ctrl-C and Ctrl-Z are interpreted by the command's own terminal. Raw mode is
/// held only while the shim is in the foreground, and is undone before every stop and every exit.
///
/// There is no C library: starting costs 0.3 ms less without one.
namespace dirbox::broker {
namespace {

using namespace sys;

constexpr int kSigBlock = 0, kSigUnblock = 1;

constexpr int kRelayed[] = {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGTSTP};
class Shim {
 public:
  [[noreturn]] void run(char** argv, char** envp) {
    open_missing_stdio();
    connect();
    take_signals();
    request(argv, envp);
    for (;;) wait();
  }

 private:
  /// A caller may have closed some of 0-2; the numbers must not go to the socket.
  void open_missing_stdio() {
    for (int fd = 0; fd <= 2; ++fd) {
      if (fcntl(fd, F_GETFD, 0) < 0) sys::open("/dev/null", O_RDWR);
    }
  }

  void connect() {
    socket_ = static_cast<int>(call(__NR_socket, kAfUnix, kSeqpacket | kCloexec, 0));
    if (socket_ < 0) die("make a socket", socket_);
    sockaddr_un name;
    fill_zero(name);
    name.sun_family = kAfUnix;
    copy(name.sun_path, socket_path(), wire::kSocketPathBytes);
    long error;
    do {
      error = call(__NR_connect, socket_, address(&name), sizeof name);
    } while (error == -kEintr);
    if (error < 0) die("connect to the broker", error);
  }

  /// Signals that the caller ignores stay ignored, as they would be for the command.
  void take_signals() {
    for (int signal : kRelayed) {
      if (disposition(signal) != reinterpret_cast<void*>(SIG_IGN)) taken_ |= bit(signal);
    }
    taken_ |= bit(SIGCONT) | bit(SIGWINCH);
    change_mask(kSigBlock, taken_);
    signals_ = static_cast<int>(call(__NR_signalfd4, -1, address(&taken_), 8, kCloexec));
    if (signals_ < 0) die("make a signal descriptor", signals_);
  }

  void request(char** argv, char** envp) {
    wire::Exec fixed;
    fill_zero(fixed);
    uint32_t flags = 0;
    is_terminal_ = ioctl(0, TCGETS, &saved_) == 0;
    Termios unused;
    if (is_terminal_ && ioctl(1, TCGETS, &unused) == 0) {
      flags |= wire::kWantPty;
      if (ioctl(2, TCGETS, &unused) == 0) flags |= wire::kPtyStderr;
      describe_terminal(fixed.terminal);
    }
    for (char** a = argv; *a != nullptr; ++a) ++fixed.argc;
    for (char** e = envp; *e != nullptr; ++e) ++fixed.envc;

    body_.add(&fixed, sizeof fixed);
    static char cwd[4096];
    if (call(__NR_getcwd, address(cwd), sizeof cwd) < 0) cwd[0] = '\0';
    body_.add(cwd);
    for (char** a = argv; *a != nullptr; ++a) body_.add(*a);
    for (char** e = envp; *e != nullptr; ++e) body_.add(*e);

    int here = static_cast<int>(sys::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (here < 0) die("open the working directory for", here);
    int fds[5] = {0, 1, 2, here, -1};
    body_.send(socket_, flags, fds);
    close(here);
  }

  void describe_terminal(wire::Terminal& terminal) {
    WindowSize size{};
    ioctl(0, TIOCGWINSZ, &size);
    terminal.rows = size.rows;
    terminal.columns = size.columns;
    terminal.x_pixels = size.x_pixels;
    terminal.y_pixels = size.y_pixels;
    terminal.input = saved_.c_iflag;
    terminal.output = saved_.c_oflag;
    terminal.control = saved_.c_cflag;
    terminal.local = saved_.c_lflag;
    static_assert(sizeof saved_.c_cc <= sizeof terminal.characters);
    copy(terminal.characters, saved_.c_cc, sizeof saved_.c_cc);
  }

  /// One turn of the loop.
  void wait() {
    if (master_ >= 0 && !raw_ && !input_ended_ && in_foreground()) enter_raw();
    PollFd fds[] = {
        {socket_, kPollIn, 0},
        {signals_, kPollIn, 0},
        {raw_ && input_used_ == 0 && !input_ended_ ? 0 : -1, kPollIn, 0},
        {master_, static_cast<short>(master_ended_ ? 0 : kPollIn | (input_used_ ? kPollOut : 0)),
         0},
    };
    if (master_ended_) fds[3].fd = -1;
    // A shell that brings a running job to the foreground tells nobody: look five times a second.
    TimeSpec look{0, 200'000'000};
    bool background = master_ >= 0 && !raw_ && !input_ended_;
    long n = poll(fds, 4, background ? &look : nullptr);
    if (n <= 0) return;
    if (fds[1].revents != 0) relay_signal();
    if (fds[2].revents != 0) read_input();
    if ((fds[3].revents & kPollOut) != 0) write_input();
    if ((fds[3].revents & (kPollIn | kPollHup | kPollErr)) != 0) copy_output();
    if (fds[0].revents != 0) receive();
  }

  bool in_foreground() {
    int group = 0;
    // Not our controlling terminal: no job control applies to us there.
    if (ioctl(0, TIOCGPGRP, &group) < 0) return true;
    return group == process_group();
  }

  /// Also renews raw mode that somebody undid while the shim was stopped.
  void enter_raw() {
    if (!raw_ && ioctl(0, TCGETS, &saved_) < 0) {
      input_ended_ = true;
      return;
    }
    Termios raw = saved_;
    raw.c_iflag &=
        ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag &= ~static_cast<tcflag_t>(OPOST);
    raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    raw.c_cflag = (raw.c_cflag & ~static_cast<tcflag_t>(CSIZE | PARENB)) | CS8;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    raw_ = ioctl(0, TCSETS, &raw) == 0;
  }

  void leave_raw() {
    if (raw_ && in_foreground()) ioctl(0, TCSETSW, &saved_);
    raw_ = false;
  }

  void send(wire::Type type, uint32_t a = 0, uint32_t b = 0) {
    wire::Header header{wire::kMagic, wire::kVersion, type, a, b};
    IoVec iov{&header, sizeof header};
    MsgHdr message{nullptr, 0, &iov, 1, nullptr, 0, 0};
    // A broker that is gone shows as the end of the connection, in receive().
    call(__NR_sendmsg, socket_, address(&message), kMsgNoSignal);
  }

  void relay_signal() {
    SignalInfo info{};
    if (read(signals_, &info, sizeof info) != sizeof info) return;
    int signal = static_cast<int>(info.signal);
    if (signal == SIGWINCH) {
      send_size();
    } else if (signal == SIGCONT) {
      resume();
    } else {
      send(wire::Type::signal, static_cast<uint32_t>(signal));
    }
  }

  void send_size() {
    WindowSize size{};
    if (is_terminal_) ioctl(0, TIOCGWINSZ, &size);
    send(wire::Type::winch, size.rows, size.columns);
  }

  void resume() {
    if (master_ >= 0 && in_foreground()) {
      enter_raw();
      send_size();
    } else {
      raw_ = false;  // the terminal is another job's
    }
    send(wire::Type::cont);
  }

  /// The command stopped: so does the shim, and with it, where the terminal would have stopped the
  /// whole job, the job.
  void stop(int signal) {
    leave_raw();
    if (signal != SIGTSTP && signal != SIGTTIN && signal != SIGTTOU) {
      kill(process_id(), SIGSTOP);
    } else {
      set_default(SIGTSTP);
      kill(master_ >= 0 ? 0 : process_id(), SIGTSTP);
      change_mask(kSigUnblock, bit(SIGTSTP));  // here it stops
      change_mask(kSigBlock, bit(SIGTSTP));
    }
    resume();
  }

  void read_input() {
    long n = read(0, input_, sizeof input_);
    if (n > 0) {
      input_used_ = static_cast<size_t>(n);
      input_sent_ = 0;
      write_input();
    } else if (n != -kEintr && n != -kEagain) {
      input_ended_ = true;
    }
  }

  void write_input() {
    long n = write(master_, input_ + input_sent_, input_used_ - input_sent_);
    if (n == -kEagain || n == -kEintr) return;
    if (n > 0) input_sent_ += static_cast<size_t>(n);
    if (n <= 0 || input_sent_ == input_used_) input_used_ = 0;
  }

  void copy_output() {
    static char output[16 << 10];
    long n = read(master_, output, sizeof output);
    if (n == -kEagain || n == -kEintr) return;
    if (n <= 0) {
      master_ended_ = true;  // EIO: nobody has the slave open
      return;
    }
    const char* at = output;
    while (n > 0) {
      long written = write(1, at, static_cast<size_t>(n));
      if (written == -kEagain) {
        PollFd out{1, kPollOut, 0};
        poll(&out, 1, nullptr);
      } else if (written < 0 && written != -kEintr) {
        hang_up();
        return;
      } else if (written > 0) {
        at += written;
        n -= written;
      }
    }
  }

  /// The caller's terminal is gone: so is the command's.
  void hang_up() {
    close(master_);
    master_ = -1;
  }

  void drain() {
    while (master_ >= 0 && !master_ended_) {
      PollFd out{master_, kPollIn, 0};
      TimeSpec at_once{0, 0};
      if (poll(&out, 1, &at_once) <= 0) return;
      copy_output();
    }
  }

  void receive() {
    struct {
      wire::Header header;
      char text[wire::kMaxText];
    } message;
    message.header = {};
    IoVec iov{&message, sizeof message};
    alignas(CmsgHdr) char control[sizeof(CmsgHdr) + 8];
    MsgHdr packet{nullptr, 0, &iov, 1, control, sizeof control, 0};
    long n = call(__NR_recvmsg, socket_, address(&packet), kMsgCmsgCloexec);
    // A broker that refuses before it has read the request resets the connection; its answer is
    // still in the queue, behind the error.
    if (n == -kEintr || n == -kEagain || n == -kEconnreset) return;
    if (n < static_cast<long>(sizeof message.header) || message.header.magic != wire::kMagic) {
      leave_raw();
      die("lost the connection to the broker", n < 0 ? n : -kEpipe);
    }
    int value = static_cast<int>(message.header.a);
    switch (message.header.type) {
      case wire::Type::pty:
        if (packet.control_size >= sizeof(CmsgHdr) + sizeof(int)) take_master(control);
        return;
      case wire::Type::stopped:
        drain();
        return stop(value);
      case wire::Type::exit:
        finish(value);
      case wire::Type::fail:
        drain();
        leave_raw();
        write(2, message.text, static_cast<size_t>(n) - sizeof message.header);
        exit(value);
      default:
        return;
    }
  }

  void take_master(const char* control) {
    constexpr int kNonBlock = 04000;
    copy(&master_, control + sizeof(CmsgHdr), sizeof master_);
    fcntl(master_, F_SETFL, O_RDWR | kNonBlock);
  }

  /// Exits as the command did: with its status, or by its signal.
  [[noreturn]] void finish(int status) {
    drain();
    leave_raw();
    int signal = status & 0x7f;
    if (signal == 0) exit((status >> 8) & 0xff);
    rlimit no_core{0, 0};
    call(__NR_prlimit64, 0, RLIMIT_CORE, address(&no_core), 0);
    set_default(signal);
    kill(process_id(), signal);
    change_mask(kSigUnblock, bit(signal));
    exit(128 + signal);  // the first process of a pid namespace survives its own signals
  }

  Body body_;
  static inline char input_[4096];
  size_t input_used_ = 0, input_sent_ = 0;
  Termios saved_;
  uint64_t taken_ = 0;
  int socket_ = -1, signals_ = -1, master_ = -1;
  bool is_terminal_ = false, raw_ = false, input_ended_ = false, master_ended_ = false;
};

}  // namespace
}  // namespace dirbox::broker

/// The tag, then room for the path; make_shim_image() finds the one and fills the other.
extern "C" {
__attribute__((section(".data"), used, aligned(16))) char
    dirbox_shim_slot[dirbox::broker::wire::kTagBytes + dirbox::broker::wire::kSocketPathBytes] = {
        'd', 'i', 'r', 'b', 'o', 'x', '-', 's', 'h', 'i', 'm', ' ', 's', 'l', 'o', 't'};
}

// The compiler may call these for copies and clears that it makes itself.
extern "C" {
__attribute__((used)) void* memcpy(void* to, const void* from, size_t size) {
  auto* out = static_cast<volatile char*>(to);
  const auto* in = static_cast<const char*>(from);
  for (size_t i = 0; i < size; ++i) out[i] = in[i];
  return to;
}
__attribute__((used)) void* memset(void* to, int value, size_t size) {
  auto* out = static_cast<volatile char*>(to);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(value);
  return to;
}

[[noreturn]] __attribute__((used)) void dirbox_shim_main(long* stack) {
  static dirbox::broker::Shim shim;
  long argc = stack[0];
  char** argv = reinterpret_cast<char**>(stack + 1);
  shim.run(argv, argv + argc + 1);
}
}

#if defined(__x86_64__)
__asm__(
    ".globl _start\n.type _start,@function\n_start:\n  xor %ebp,%ebp\n  mov %rsp,%rdi\n  and "
    "$-16,%rsp\n"
    "  call dirbox_shim_main\n");
#elif defined(__aarch64__)
__asm__(
    ".globl _start\n.type _start,%function\n_start:\n  mov x29,#0\n  mov x30,#0\n  mov x0,sp\n"
    "  bl dirbox_shim_main\n");
#endif
