#include "seccomp/describe.h"

#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include <cstddef>

#include "seccomp/evaluate.h"

namespace dirbox::seccomp {
namespace {

constexpr std::uint32_t kNr = offsetof(seccomp_data, nr);
constexpr std::uint32_t kArch = offsetof(seccomp_data, arch);
constexpr std::uint32_t kArgs = offsetof(seccomp_data, args);

std::string word_text(std::uint32_t offset) {
  if (offset == kNr) return "nr";
  if (offset == kArch) return "arch";
  if (offset >= kArgs && offset < sizeof(seccomp_data))
    return fmt::format("arg{}.{}", (offset - kArgs) / 8,
                       (offset - kArgs) % 8 == 0 ? "low" : "high");
  return fmt::format("data[{}]", offset);
}

std::string_view jump_name(std::uint16_t code) {
  switch (BPF_OP(code)) {
    case BPF_JEQ:
      return "jeq";
    case BPF_JGT:
      return "jgt";
    case BPF_JGE:
      return "jge";
    case BPF_JSET:
      return "jset";
    default:
      return "j?";
  }
}

/// What `value` is when it is compared with the word at `offset`.
std::string meaning(std::uint32_t offset, std::uint32_t value, Arch arch) {
  if (offset == kArch) {
    for (Arch known : {Arch::x86_64, Arch::aarch64}) {
      if (audit_arch(known) == value) return "  ; " + std::string(arch_name(known));
    }
  }
  if (offset == kNr) {
    if (const Call* call = find_call(arch, static_cast<int>(value)))
      return "  ; " + std::string(call->name);
  }
  return {};
}

}  // namespace

std::string tests_text(std::span<const Test> tests) {
  std::string out;
  for (const Test& test : tests) {
    if (!out.empty()) out += " and ";
    out += test.text();
  }
  return out;
}

std::vector<Description> describe(const Policy& policy, Arch arch) {
  std::vector<Description> out;
  for (const Call& call : calls()) {
    if (call.number(arch) < 0) continue;
    for (const Clause& clause : policy.clauses(call)) {
      const Source& source = policy.source(clause);
      std::string reason(source.kind == Source::Kind::hard ? source.reason : reason_of(call));
      out.push_back({std::string(call.name), std::string(group_of(call).name),
                     tests_text(clause.tests), clause.action.text(), source.text(),
                     std::move(reason)});
    }
  }
  return out;
}

std::string disassemble(std::span<const sock_filter> program, Arch arch) {
  std::string out;
  // The word in the accumulator, by order of listing: the frame loads the number once, and every
  // block starts with a load of its own.
  std::uint32_t loaded = 0;
  for (std::size_t i = 0; i < program.size(); ++i) {
    const sock_filter& insn = program[i];
    std::string text;
    if (insn.code == (BPF_LD | BPF_W | BPF_ABS)) {
      loaded = insn.k;
      text = "ld    " + word_text(insn.k);
    } else if (insn.code == (BPF_ALU | BPF_AND | BPF_K)) {
      text = fmt::format("and   {:#x}", insn.k);
    } else if (insn.code == (BPF_RET | BPF_K)) {
      text = "ret   " + outcome_text(insn.k);
    } else if (insn.code == (BPF_JMP | BPF_JA)) {
      text = fmt::format("ja    {}", i + 1 + insn.k);
    } else if (BPF_CLASS(insn.code) == BPF_JMP && BPF_SRC(insn.code) == BPF_K) {
      text = fmt::format("{:<5} {:#x} ? {} : {}{}", jump_name(insn.code), insn.k, i + 1 + insn.jt,
                         i + 1 + insn.jf, meaning(loaded, insn.k, arch));
    } else {
      text = fmt::format("code {:#06x}, k {:#x}", insn.code, insn.k);
    }
    out += fmt::format("{:4}  {}\n", i, text);
  }
  return out;
}

}  // namespace dirbox::seccomp
