#pragma once
#include <span>
#include <string_view>

#include "seccomp/rule_text.h"

namespace dirbox::seccomp {

/// A denial by arguments that every policy holds unless it opens the very values (policy.h).
struct HardDenial {
  enum class When : std::uint8_t {
    always,
    single_userns,  ///< dropped by nested_userns
    notifying,      ///< only in a policy that notifies
    enforcing,      ///< only in a policy that enforces
  };
  std::string_view call;
  std::string_view name;
  std::span<const Test> tests;  ///< all must hold
  int err;                      ///< 0: the call is said to have succeeded
  std::string_view reason;
  When when = When::always;
};

std::span<const HardDenial> hard_denials();

}  // namespace dirbox::seccomp
