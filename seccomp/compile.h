#pragma once
#include <linux/filter.h>

#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "seccomp/policy.h"

namespace dirbox::seccomp {

/// A classic BPF program for seccomp(2).
struct Filter {
  std::vector<sock_filter> program;
  bool notifies = false;  ///< install with a listener
};

/// Pure but for a memfd that libseccomp writes into. About 1 ms. Either architecture on either.
Result<Filter> compile_filter(const Policy& policy, Arch arch = kNativeArch);

/// Names the code that turns a Policy into BPF: a filter of another generator is another filter.
std::string generator_id();

/// The name that libseccomp has for a number; empty when it has none. For the check that its table
/// and ours agree.
std::string libseccomp_name(Arch arch, int number);

}  // namespace dirbox::seccomp
