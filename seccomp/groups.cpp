#include "seccomp/groups.h"

#include <linux/audit.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace dirbox::seccomp {
namespace {

struct Row {
  bool is_group;
  std::string_view name;
  int first, second;  // group: open, errno; call: number on x86-64, on aarch64
  std::string_view reason;
};

constexpr int open = 1, closed = 0, none = -1;
#define GROUP(name, state, err, reason) Row{true, name, state, err, reason},
#define CALL(name, x86_64, aarch64) Row{false, #name, x86_64, aarch64, {}},
#define BECAUSE(name, x86_64, aarch64, reason) Row{false, #name, x86_64, aarch64, reason},
constexpr Row kRows[] = {
#include "seccomp/groups.def"
};
#undef GROUP
#undef CALL
#undef BECAUSE

constexpr std::size_t count_rows(bool is_group) {
  std::size_t n = 0;
  for (const Row& row : kRows) n += row.is_group == is_group;
  return n;
}

constexpr auto kGroups = [] {
  std::array<Group, count_rows(true)> out{};
  std::size_t n = 0;
  for (const Row& row : kRows) {
    if (row.is_group) out[n++] = {row.name, row.first == open, row.second, row.reason};
  }
  return out;
}();

constexpr auto kCalls = [] {
  std::array<Call, count_rows(false)> out{};
  std::size_t n = 0;
  std::uint8_t groups_seen = 0;
  for (const Row& row : kRows) {
    if (row.is_group) {
      ++groups_seen;
    } else {
      out[n++] = {row.name, static_cast<std::int16_t>(row.first),
                  static_cast<std::int16_t>(row.second), static_cast<std::uint8_t>(groups_seen - 1),
                  row.reason};
    }
  }
  return out;
}();

// By number. Both tables end below 512; a number used twice does not compile.
constexpr int kMaxNumber = 512;
constexpr auto by_number(Arch arch) {
  std::array<std::int16_t, kMaxNumber> out{};
  for (auto& index : out) index = -1;
  for (std::size_t i = 0; i < kCalls.size(); ++i) {
    int number = kCalls[i].number(arch);
    if (number == none) continue;
    if (out[static_cast<std::size_t>(number)] != -1) throw "a system call number occurs twice";
    out[static_cast<std::size_t>(number)] = static_cast<std::int16_t>(i);
  }
  return out;
}
constexpr auto kByNumberX86 = by_number(Arch::x86_64);
constexpr auto kByNumberArm = by_number(Arch::aarch64);

}  // namespace

std::string_view arch_name(Arch arch) { return arch == Arch::x86_64 ? "x86_64" : "aarch64"; }

std::uint32_t audit_arch(Arch arch) {
  return arch == Arch::x86_64 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_AARCH64;
}

std::span<const Group> groups() { return kGroups; }
std::span<const Call> calls() { return kCalls; }

const Group* find_group(std::string_view name) {
  auto it = std::find_if(kGroups.begin(), kGroups.end(), [&](auto& g) { return g.name == name; });
  return it == kGroups.end() ? nullptr : &*it;
}

const Call* find_call(std::string_view name) {
  auto it = std::find_if(kCalls.begin(), kCalls.end(), [&](auto& c) { return c.name == name; });
  return it == kCalls.end() ? nullptr : &*it;
}

const Call* find_call(Arch arch, int number) {
  if (number < 0 || number >= kMaxNumber) return nullptr;
  const auto& table = arch == Arch::x86_64 ? kByNumberX86 : kByNumberArm;
  int index = table[static_cast<std::size_t>(number)];
  return index < 0 ? nullptr : &kCalls[static_cast<std::size_t>(index)];
}

const Group& group_of(const Call& call) { return kGroups[call.group]; }

std::string_view reason_of(const Call& call) {
  return call.own_reason.empty() ? group_of(call).reason : call.own_reason;
}

std::vector<std::string_view> all_names() {
  std::vector<std::string_view> out;
  out.reserve(kGroups.size() + kCalls.size());
  for (const Group& group : kGroups) out.push_back(group.name);
  for (const Call& call : kCalls) out.push_back(call.name);
  return out;
}

}  // namespace dirbox::seccomp
