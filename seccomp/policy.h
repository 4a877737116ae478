#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/origin.h"
#include "launcher/base/result.h"
#include "seccomp/groups.h"
#include "seccomp/observed.h"
#include "seccomp/rule_text.h"

/// Theory of operation. A Policy maps every call of the table to an ordered list of clauses; the
/// first clause whose tests all hold decides, and the last one has no tests. Order, for one call:
///
///   1. rules with tests: on the call before on its group before on @all; then more tests before
///      fewer; then the stricter action; then as written
///   2. hard denials (seccomp/hard_rules.cpp)
///   3. without tests: the call before its group before @all before the table's own state
///
/// A permitting rule of level 1 passes over a hard denial only where it names the exact value of
/// everything that the denial looks at (an `==` under at least the denial's mask); elsewhere the
/// denial comes first. So `ioctl, arg1 == 0x5412, allow` opens TIOCSTI, and `arg1 & 0xff00 ==
/// 0x5400` does not. Two entries of equal standing that contradict each other are an error.
///
/// Numbers beyond the table, and foreign ABIs (i386, x32, 32-bit Arm), get ENOSYS: what a kernel
/// without them answers, so that a program that probes for them falls back, and nothing behind
/// them is reachable.
namespace dirbox::seccomp {

/// An element of an allow or deny list: a call, an @group, or @all.
struct NameInput {
  std::string name;
  Origin origin;
};

struct RuleInput {
  std::string syscall;            ///< a call, an @group, or @all
  std::vector<std::string> when;  ///< argument tests, all of which must hold; may be empty
  std::string action;             ///< allow | errno:ENAME | kill | log | notify
  Origin origin;
};

struct PolicyInput {
  std::vector<NameInput> allow, deny;
  std::vector<RuleInput> rules;
  bool nested_userns =
      false;  ///< opens @namespace, @mount and @hidden-args; drops their hard denials
  Origin nested_userns_origin;
  Observe observe = Observe::none;
  bool enforce = false;  ///< asks about enforced_calls()
};

/// Who decided.
struct Source {
  enum class Kind : std::uint8_t {
    profile,  ///< an entry or rule with an Origin
    hard,     ///< a hard denial
    group,    ///< the table's own state of the call's group
    unknown,  ///< the number is not in the table, or the ABI is foreign
  };
  Kind kind = Kind::unknown;
  Origin origin;     ///< for Kind::profile
  std::string name;  ///< "ptrace", "@ptrace", "terminal-input", as written or as the table has it
  std::string_view reason;  ///< why, one sentence of the tables; empty for Kind::profile

  /// "director.toml:12:3 (@ptrace)", "hard denial terminal-input", "group @ptrace".
  std::string text() const;
};

struct Clause {
  std::vector<Test> tests;  ///< all must hold; empty: always
  Action action;
  std::uint16_t source = 0;  ///< index into Policy::sources()
};

struct Decision {
  Action action;
  const Source* source;  ///< lives as long as the Policy
};

class Policy {
 public:
  /// In order; the last has no tests.
  std::span<const Clause> clauses(const Call& call) const;
  Decision decide(Arch arch, std::uint32_t number, const std::uint64_t (&args)[6]) const;
  std::span<const Source> sources() const { return sources_; }
  const Source& source(const Clause& clause) const { return sources_[clause.source]; }
  /// True when some clause notifies: the filter must be installed with a listener.
  bool notifies() const;
  /// Everything the filter depends on, for one architecture; equal texts give equal filters.
  std::string canonical_text(Arch arch) const;

 private:
  friend Result<Policy> compile_policy(const PolicyInput& input);
  std::vector<Clause> clauses_;       // of all calls, in table order
  std::vector<std::uint32_t> first_;  // index of a call's first clause; one more at the end
  std::vector<Source> sources_;       // [0] is Kind::unknown
};

/// Pure. Errors name the Origin: unknown name (with the nearest one), malformed test or action,
/// entries that contradict each other.
Result<Policy> compile_policy(const PolicyInput& input);

}  // namespace dirbox::seccomp
