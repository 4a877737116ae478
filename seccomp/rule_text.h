#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "launcher/base/result.h"

/// The two small languages of a rule: argument tests and actions.
///
///   test    ::= "arg" N [":64"] ["&" NUMBER] OP NUMBER        N 0-5; OP ==  !=  <  <=  >  >=
///   action  ::= "allow" | "log" | "notify" | "kill" | "errno:" NAME
///   NUMBER  ::= decimal or 0x hexadecimal; a leading "-" is two's complement
///
/// A test looks at the low 32 bits unless it says ":64". Most arguments are C ints: the kernel
/// drops the upper half after the filter has run, so a 64-bit compare of one is a hole
/// (CVE-2019-7303, CVE-2019-10063). Comparisons are unsigned.
namespace dirbox::seccomp {

enum class Op : std::uint8_t { eq, ne, lt, le, gt, ge };

struct Test {
  std::uint8_t arg = 0;
  bool wide = false;  ///< compare all 64 bits
  Op op = Op::eq;
  std::uint64_t mask = 0xffffffff;  ///< all 64 ones for an unmasked wide test
  std::uint64_t value = 0;

  bool holds(const std::uint64_t (&args)[6]) const;
  std::string text() const;
  bool operator==(const Test&) const = default;
};

/// In order of strictness, as the kernel ranks them: of two that match, the later wins a tie.
enum class ActionKind : std::uint8_t { allow, log, notify, errno_, kill };

struct Action {
  ActionKind kind = ActionKind::allow;
  int err = 0;  ///< errno_: the answer; notify: the supervisor's, 0: it lets the call go on

  /// The call goes through.
  bool permits() const {
    return kind <= ActionKind::log || (kind == ActionKind::notify && err == 0);
  }
  /// "allow", "errno:EPERM", …
  std::string text() const;
  bool operator==(const Action&) const = default;
};

/// Errors: syntax, an argument beyond 5, a value that needs more bits than are compared, a test
/// that no argument or every argument passes.
Result<Test> parse_test(std::string_view text);
/// `notify_err` is the errno that "notify" stands for.
Result<Action> parse_action(std::string_view text, int notify_err);

/// True when no argument passes both tests. Sound, not complete: it sees equalities only.
bool exclude_each_other(const Test& a, const Test& b);

}  // namespace dirbox::seccomp
