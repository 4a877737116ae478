#include "seccomp/frame.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>

#include "seccomp/evaluate.h"

namespace dirbox::seccomp {
namespace {

/// Numbers up to `last` that have one answer; they begin after those of the interval before.
struct Interval {
  std::uint32_t last, answer;
};

constexpr std::uint32_t kLastNumber = 0xffffffffU;

Result<std::uint32_t> answer_of(std::span<const sock_filter> program, std::uint32_t arch,
                                std::uint32_t number) {
  seccomp_data data{};
  data.arch = arch;
  data.nr = static_cast<int>(number);
  Outcome outcome = TRY(evaluate(program, data));
  if (!outcome.constant) return fail("shorten a filter", "", "its frame reads arguments");
  return outcome.value;
}

/// Answers change only at the numbers that the program compares with, and after them.
std::vector<std::uint32_t> find_bounds(std::span<const sock_filter> program) {
  std::vector<std::uint32_t> bounds{kLastNumber};
  for (const sock_filter& insn : program) {
    if (BPF_CLASS(insn.code) != BPF_JMP || BPF_OP(insn.code) == BPF_JA) continue;
    if (insn.k != 0) bounds.push_back(insn.k - 1);
    bounds.push_back(insn.k);
  }
  std::sort(bounds.begin(), bounds.end());
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
  return bounds;
}

void append_tree(std::vector<sock_filter>& out, std::span<const Interval> intervals) {
  if (intervals.size() == 1) {
    out.push_back({BPF_RET | BPF_K, 0, 0, intervals.front().answer});
    return;
  }
  const std::size_t half = intervals.size() / 2;
  const std::size_t test = out.size();
  out.push_back({BPF_JMP | BPF_JGT | BPF_K, 0, 0, intervals[half - 1].last});
  out.push_back({BPF_JMP | BPF_JA, 0, 0, 0});
  append_tree(out, intervals.first(half));
  std::size_t distance = out.size() - test - 1;
  if (distance - 1 <= 255) {  // the usual case: the conditional jump reaches
    out.erase(out.begin() + static_cast<std::ptrdiff_t>(test) + 1);
    out[test].jt = static_cast<std::uint8_t>(distance - 1);
  } else {
    out[test].jf = 1;
    out[test + 1].k = static_cast<std::uint32_t>(distance - 1);
  }
  append_tree(out, intervals.subspan(half));
}

}  // namespace

Result<std::vector<sock_filter>> pack_frame(std::span<const sock_filter> program, Arch arch,
                                            std::optional<std::uint32_t> first) {
  std::vector<Interval> intervals;
  for (std::uint32_t bound : find_bounds(program)) {
    const std::uint32_t answer = TRY(answer_of(program, audit_arch(arch), bound));
    if (!intervals.empty() && intervals.back().answer == answer) intervals.pop_back();
    intervals.push_back({bound, answer});
  }
  std::vector<sock_filter> out{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch)},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, audit_arch(arch)},
      {BPF_RET | BPF_K, 0, 0, TRY(answer_of(program, 0, 0))},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
  };
  if (first) {
    out.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, *first});
    out.push_back({BPF_RET | BPF_K, 0, 0, TRY(answer_of(program, audit_arch(arch), *first))});
  }
  append_tree(out, intervals);
  return out;
}

}  // namespace dirbox::seccomp
