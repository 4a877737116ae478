#pragma once
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <asm/unistd.h>
#include <linux/un.h>
#include <stddef.h>
#include <stdint.h>

/// System calls for a program without a C library. Each wrapper returns what the kernel does: a
/// negative errno on failure.
namespace dirbox::broker::sys {

inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
#else
#error "the shim has no system call stub for this architecture"
#endif
}

inline long address(const void* p) { return reinterpret_cast<long>(p); }

// Kernel structures: the C library's own differ in part.
struct SigAction {
  void (*handler)(int);
  unsigned long flags;
#if defined(__x86_64__)
  void (*restorer)();
#endif
  uint64_t mask;
};
struct SignalInfo {  // struct signalfd_siginfo
  uint32_t signal;
  uint8_t rest[124];
};
struct PollFd {
  int fd;
  short events;
  short revents;
};
struct TimeSpec {
  long seconds;
  long nanoseconds;
};
struct IoVec {
  const void* base;
  size_t size;
};
struct MsgHdr {
  void* name;
  int name_size;
  IoVec* iov;
  size_t iov_count;
  void* control;
  size_t control_size;
  unsigned flags;
};
struct CmsgHdr {
  size_t size;
  int level;
  int type;
};
struct WindowSize {
  uint16_t rows, columns, x_pixels, y_pixels;
};
using Termios = ::termios;

inline constexpr short kPollIn = 1;
inline constexpr short kPollOut = 4;
inline constexpr short kPollErr = 8;
inline constexpr short kPollHup = 16;

inline constexpr int kEintr = 4, kEagain = 11, kEpipe = 32, kEconnreset = 104;

inline long read(int fd, void* buffer, size_t size) {
  return call(__NR_read, fd, address(buffer), static_cast<long>(size));
}
inline long write(int fd, const void* buffer, size_t size) {
  return call(__NR_write, fd, address(buffer), static_cast<long>(size));
}
inline long close(int fd) { return call(__NR_close, fd); }
inline long ioctl(int fd, unsigned long request, const void* argument) {
  return call(__NR_ioctl, fd, static_cast<long>(request), address(argument));
}
inline long fcntl(int fd, int command, long argument) {
  return call(__NR_fcntl, fd, command, argument);
}
inline long open(const char* path, int flags) {
  constexpr int kAtFdcwd = -100;
  return call(__NR_openat, kAtFdcwd, address(path), flags, 0);
}
inline long poll(PollFd* fds, size_t count, const TimeSpec* timeout) {
  return call(__NR_ppoll, address(fds), static_cast<long>(count), address(timeout), 0, 8);
}
inline long process_id() { return call(__NR_getpid); }
inline long process_group() { return call(__NR_getpgid, 0); }
inline long kill(long pid, int signal) { return call(__NR_kill, pid, signal); }
[[noreturn]] inline void exit(int status) {
  for (;;) call(__NR_exit_group, status);
}

inline constexpr uint64_t bit(int signal) { return uint64_t{1} << (signal - 1); }
inline void change_mask(int how, uint64_t mask) {
  call(__NR_rt_sigprocmask, how, address(&mask), 0, 8);
}
inline void* disposition(int signal) {
  SigAction action{};
  call(__NR_rt_sigaction, signal, 0, address(&action), 8);
  return reinterpret_cast<void*>(action.handler);
}
inline void set_default(int signal) {
  SigAction action{};
  call(__NR_rt_sigaction, signal, address(&action), 0, 8);
}

inline size_t length(const char* text) {
  size_t n = 0;
  while (text[n] != '\0') ++n;
  return n;
}

}  // namespace dirbox::broker::sys
