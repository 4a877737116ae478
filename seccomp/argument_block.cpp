#include "seccomp/argument_block.h"

#include <linux/seccomp.h>

#include <cstddef>
#include <optional>

namespace dirbox::seccomp {
namespace {

// Where a conditional jump goes, until the addresses are known.
enum class Target : std::uint8_t { next, pass, fail };

/// What the accumulator holds: a word of seccomp_data under a mask.
struct Loaded {
  std::uint32_t offset, mask;
  bool operator==(const Loaded&) const = default;
};

class BlockWriter {
 public:
  Result<std::vector<sock_filter>> write(std::span<const Clause> clauses) {
    for (const Clause& clause : clauses) {
      fail_states_.clear();
      fail_jumps_.clear();
      for (const Test& test : clause.tests) write_test(test);
      out_.push_back({BPF_RET | BPF_K, 0, 0, return_value(clause.action)});
      for (std::size_t jump : fail_jumps_) {
        if (!patch(jump, Target::fail)) {
          return fail("compile seccomp filter", "argument tests", "a rule is too long for BPF");
        }
      }
      // The next clause starts with what every failed test left behind, when that is one thing.
      bool same = !fail_states_.empty();
      for (const auto& state : fail_states_) same = same && state == fail_states_.front();
      loaded_ = same ? fail_states_.front() : std::nullopt;
    }
    return std::move(out_);
  }

 private:
  struct Pending {
    Target jt, jf;
  };

  void load(std::uint32_t offset, std::uint32_t mask) {
    Loaded wanted{offset, mask};
    if (loaded_ == wanted) return;
    emit({BPF_LD | BPF_W | BPF_ABS, 0, 0, offset});
    if (mask != 0xffffffffU) emit({BPF_ALU | BPF_AND | BPF_K, 0, 0, mask});
    loaded_ = wanted;
  }

  void emit(sock_filter insn) {
    out_.push_back(insn);
    pending_.resize(out_.size(), {Target::next, Target::next});
  }

  void jump(int comparison, std::uint32_t value, Target jt, Target jf) {
    emit({static_cast<std::uint16_t>(BPF_JMP | comparison | BPF_K), 0, 0, value});
    pending_.back() = {jt, jf};
    if (jt == Target::fail || jf == Target::fail) {
      fail_jumps_.push_back(out_.size() - 1);
      fail_states_.push_back(loaded_);
    }
  }

  void write_test(const Test& test) {
    // Both architectures are little-endian: the low half of an argument comes first.
    auto low = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * test.arg);
    auto low_mask = static_cast<std::uint32_t>(test.mask);
    auto low_value = static_cast<std::uint32_t>(test.value);
    if (!test.wide) {
      load(low, low_mask);
      compare(test.op, low_value);
      return;
    }
    std::size_t begin = out_.size();
    auto high_value = static_cast<std::uint32_t>(test.value >> 32);
    load(low + 4, static_cast<std::uint32_t>(test.mask >> 32));
    switch (test.op) {
      case Op::eq:
        jump(BPF_JEQ, high_value, Target::next, Target::fail);
        break;
      case Op::ne:
        jump(BPF_JEQ, high_value, Target::next, Target::pass);
        break;
      case Op::gt:
      case Op::ge:
        jump(BPF_JGT, high_value, Target::pass, Target::next);
        jump(BPF_JEQ, high_value, Target::next, Target::fail);
        break;
      case Op::lt:
      case Op::le:
        jump(BPF_JGT, high_value, Target::fail, Target::next);
        jump(BPF_JEQ, high_value, Target::next, Target::pass);
        break;
    }
    load(low, low_mask);
    compare(test.op, low_value);
    // A test has few instructions: the jump always fits. The two ways to pass leave different
    // words in the accumulator.
    for (std::size_t i = begin; i < out_.size(); ++i) patch(i, Target::pass);
    loaded_ = std::nullopt;
  }

  void compare(Op op, std::uint32_t value) {
    switch (op) {
      case Op::eq:
        jump(BPF_JEQ, value, Target::next, Target::fail);
        break;
      case Op::ne:
        jump(BPF_JEQ, value, Target::fail, Target::next);
        break;
      case Op::gt:
        jump(BPF_JGT, value, Target::next, Target::fail);
        break;
      case Op::ge:
        jump(BPF_JGE, value, Target::next, Target::fail);
        break;
      case Op::lt:
        jump(BPF_JGE, value, Target::fail, Target::next);
        break;
      case Op::le:
        jump(BPF_JGT, value, Target::fail, Target::next);
        break;
    }
  }

  /// Lets the branches of `jump` that wait for `target` go to the end of what is written.
  bool patch(std::size_t jump, Target target) {
    std::size_t distance = out_.size() - jump - 1;
    if (distance > 255) return false;
    if (pending_[jump].jt == target) out_[jump].jt = static_cast<std::uint8_t>(distance);
    if (pending_[jump].jf == target) out_[jump].jf = static_cast<std::uint8_t>(distance);
    return true;
  }

  std::vector<sock_filter> out_;
  std::vector<Pending> pending_;  // parallel to out_
  std::vector<std::size_t> fail_jumps_;
  std::vector<std::optional<Loaded>> fail_states_;
  std::optional<Loaded> loaded_;
};

}  // namespace

std::uint32_t return_value(Action action) {
  switch (action.kind) {
    case ActionKind::allow:
      return SECCOMP_RET_ALLOW;
    case ActionKind::log:
      return SECCOMP_RET_LOG;
    case ActionKind::notify:
      return SECCOMP_RET_USER_NOTIF;
    case ActionKind::errno_:
      return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(action.err);
    case ActionKind::kill:
      return SECCOMP_RET_KILL_PROCESS;
  }
  return SECCOMP_RET_KILL_PROCESS;
}

Result<std::vector<sock_filter>> compile_block(std::span<const Clause> clauses) {
  return BlockWriter().write(clauses);
}

}  // namespace dirbox::seccomp
