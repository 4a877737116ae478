#pragma once
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

/// What a child of vfork(2) needs that makes system calls only, and ends in exec or _exit(2).
namespace dirbox::sandbox {

/// What the child leaves behind in the memory that it shares until it execs. volatile: to the
/// compiler, nobody reads what is written before _exit(2).
struct Vforked {
  const char* volatile doing = nullptr;  ///< what failed before the exec
  volatile int err = 0;
  volatile int exec_err = 0;

  /// Says that what it was doing failed with errno.
  [[noreturn]] void stop() {
    err = errno;
    ::_exit(125);
  }
};

/// For execve(2), of `strings`, which stay where they are.
inline std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace dirbox::sandbox
