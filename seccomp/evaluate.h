#pragma once
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <span>
#include <string>

#include "launcher/base/result.h"

namespace dirbox::seccomp {

struct Outcome {
  std::uint32_t value = 0;  ///< SECCOMP_RET_*, with its data
  std::size_t steps = 0;    ///< instructions executed
  bool constant = true;     ///< no argument was read: the kernel's bitmap can hold the answer
};

/// Runs a classic BPF program over `data` as the kernel would. Errors where the kernel would have
/// refused the program: an instruction that seccomp does not take, a load or a jump beyond the end.
Result<Outcome> evaluate(std::span<const sock_filter> program, const seccomp_data& data);

/// "allow", "errno:EPERM", "kill", "notify", "log", or the number in hexadecimal.
std::string outcome_text(std::uint32_t value);

}  // namespace dirbox::seccomp
