#pragma once
#include <linux/filter.h>

#include <span>
#include <string>
#include <vector>

#include "seccomp/policy.h"

/// Policies and filters as text for people.
namespace dirbox::seccomp {

/// One clause of one call.
struct Description {
  std::string call;
  std::string group;
  std::string when;    ///< "arg1 == 0x5412 and …"; empty: otherwise, or always
  std::string action;  ///< "allow", "errno:EPERM", …
  std::string source;  ///< Source::text
  std::string reason;  ///< the denial's, the call's, or its group's
};

/// Every clause of every call that `arch` has, by group and in the order of evaluation.
std::vector<Description> describe(const Policy& policy, Arch arch = kNativeArch);

/// "arg1 == 0x5412 and arg0 != 0x1"; empty for no tests.
std::string tests_text(std::span<const Test> tests);

/// One line per instruction: address, mnemonic, targets, and what the numbers mean on `arch`.
std::string disassemble(std::span<const sock_filter> program, Arch arch = kNativeArch);

}  // namespace dirbox::seccomp
