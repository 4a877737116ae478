#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The system call table, cut into named groups: every call of Linux 6.18 is in exactly one, with a
/// reason. The data is seccomp/groups.def.
namespace dirbox::seccomp {

enum class Arch : std::uint8_t { x86_64, aarch64 };

#if defined(__x86_64__)
inline constexpr Arch kNativeArch = Arch::x86_64;
#elif defined(__aarch64__)
inline constexpr Arch kNativeArch = Arch::aarch64;
#else
#error "dirbox knows the system calls of x86-64 and aarch64"
#endif

/// "x86_64", "aarch64".
std::string_view arch_name(Arch arch);
/// AUDIT_ARCH_* of linux/audit.h: what seccomp_data.arch holds.
std::uint32_t audit_arch(Arch arch);

struct Group {
  std::string_view name;    ///< with the '@'
  bool open;                ///< allowed where no profile says otherwise
  int err;                  ///< errno of a denial
  std::string_view reason;  ///< why it is open or closed, one sentence
};

struct Call {
  std::string_view name;
  std::int16_t x86_64, aarch64;  ///< -1: the architecture has no such call
  std::uint8_t group;            ///< index into groups()
  std::string_view own_reason;   ///< empty: the group's reason speaks for it

  constexpr int number(Arch arch) const { return arch == Arch::x86_64 ? x86_64 : aarch64; }
};

std::span<const Group> groups();
/// In the order of groups.def; a call's index in this span is its identity in a Policy.
std::span<const Call> calls();

const Group* find_group(std::string_view name);
const Call* find_call(std::string_view name);
/// nullptr for a number beyond the table.
const Call* find_call(Arch arch, int number);
const Group& group_of(const Call& call);
/// The call's own reason, else its group's.
std::string_view reason_of(const Call& call);

/// Every group name, then every call name: candidates for "did you mean".
std::vector<std::string_view> all_names();

}  // namespace dirbox::seccomp
