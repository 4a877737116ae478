#include "seccomp/evaluate.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstring>

namespace dirbox::seccomp {

Result<Outcome> evaluate(std::span<const sock_filter> program, const seccomp_data& data) {
  Outcome out;
  std::uint32_t accumulator = 0;
  std::size_t pc = 0;
  auto bad = [&](std::string_view why) {
    return fail("evaluate seccomp filter", fmt::format("instruction {}", pc), why);
  };
  // Jumps only go forward, so this ends.
  for (; pc < program.size(); ++pc) {
    const sock_filter& insn = program[pc];
    ++out.steps;
    bool taken = false;
    switch (insn.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (insn.k % 4 != 0 || insn.k > sizeof data - 4) return bad("load beyond the data");
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + insn.k, 4);
        if (insn.k >= offsetof(seccomp_data, instruction_pointer)) out.constant = false;
        continue;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= insn.k;
        continue;
      case BPF_RET | BPF_K:
        out.value = insn.k;
        return out;
      case BPF_JMP | BPF_JA:
        if (insn.k >= program.size()) return bad("jump beyond the end");
        pc += insn.k;
        continue;
      case BPF_JMP | BPF_JEQ | BPF_K:
        taken = accumulator == insn.k;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        taken = accumulator > insn.k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        taken = accumulator >= insn.k;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        taken = (accumulator & insn.k) != 0;
        break;
      default:
        return bad("not an instruction of these filters");
    }
    pc += taken ? insn.jt : insn.jf;
  }
  return bad("runs off the end");
}

std::string outcome_text(std::uint32_t value) {
  switch (value & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
      return "allow";
    case SECCOMP_RET_LOG:
      return "log";
    case SECCOMP_RET_USER_NOTIF:
      return "notify";
    case SECCOMP_RET_KILL_PROCESS:
      return "kill";
    case SECCOMP_RET_ERRNO:
      return "errno:" + errno_name(static_cast<int>(value & SECCOMP_RET_DATA));
    default:
      return fmt::format("{:#010x}", value);
  }
}

}  // namespace dirbox::seccomp
