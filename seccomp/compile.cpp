#include "seccomp/compile.h"

#include <fmt/format.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>

#include "launcher/base/file.h"
#include "launcher/base/unique_fd.h"
#include "seccomp/argument_block.h"
#include "seccomp/frame.h"

/// Theory of operation. libseccomp makes the frame of the filter: the check of the architecture and
/// a binary tree over the call numbers whose leaves allow or refuse, so that the kernel sees
/// constant answers and serves them from its bitmap. Argument rules stay out of it, because
/// libseccomp takes one test per argument, no masked inequality, and no order among rules of one
/// call. A call with tests (or with an action other than allow and errno) gets a marker instead,
/// SECCOMP_RET_TRACE with an index that no policy can ask for; afterwards the marker's return
/// becomes a jump to a block of our own behind the frame, which is packed before (frame.h).
///
/// libseccomp takes numbers of the architecture it runs on only, by name for others, and it lacks
/// names. So every filter is built by number as a native one, and for a foreign target the one
/// comparison of the architecture is exchanged.
namespace dirbox::seccomp {
namespace {

struct ContextDeleter {
  void operator()(void* context) const { ::seccomp_release(context); }
};
using Context = std::unique_ptr<void, ContextDeleter>;

constexpr std::size_t kMaxMarkers = 0xffff;

Failure failed(std::string_view step, int rc) {
  return fail_errno("compile seccomp filter", step, -rc);
}

/// A fresh context: unknown numbers and foreign ABIs get ENOSYS.
Result<Context> make_context() {
  Context context(::seccomp_init(SCMP_ACT_ERRNO(ENOSYS)));
  if (!context) return failed("seccomp_init", -ENOMEM);
  const std::pair<scmp_filter_attr, std::uint32_t> attributes[] = {
      {SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)},
      {SCMP_FLTATR_CTL_OPTIMIZE, 2},
  };
  for (auto [attribute, value] : attributes) {
    if (int rc = ::seccomp_attr_set(context.get(), attribute, value); rc != 0)
      return failed("seccomp_attr_set", rc);
  }
  return context;
}

Result<std::vector<sock_filter>> export_program(const Context& context) {
  UniqueFd fd(::memfd_create("dirbox-seccomp", MFD_CLOEXEC));
  if (!fd.valid()) return fail_errno("compile seccomp filter", "memfd_create");
  if (int rc = ::seccomp_export_bpf(context.get(), fd.get()); rc != 0)
    return failed("seccomp_export_bpf", rc);
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno("compile seccomp filter", "lseek");
  std::string bytes = TRY(read_fd(fd.get(), BPF_MAXINSNS * sizeof(sock_filter), "BPF program"));
  std::vector<sock_filter> program(bytes.size() / sizeof(sock_filter));
  std::memcpy(program.data(), bytes.data(), program.size() * sizeof(sock_filter));
  return program;
}

Result<void> retarget(std::vector<sock_filter>& program, Arch arch) {
  if (arch == kNativeArch) return {};
  int exchanged = 0;
  for (sock_filter& insn : program) {
    if (insn.code != (BPF_JMP | BPF_JEQ | BPF_K) || insn.k != audit_arch(kNativeArch)) continue;
    insn.k = audit_arch(arch);
    ++exchanged;
  }
  if (exchanged != 1)
    return fail("compile seccomp filter", arch_name(arch), "no single check of the architecture");
  return {};
}

bool is_marker(const sock_filter& insn) {
  return insn.code == (BPF_RET | BPF_K) && (insn.k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE;
}

/// The call that programs make most of all those that the kernel cannot answer from its bitmap.
std::optional<std::uint32_t> frequent_number(Arch arch) {
  const Call* call = find_call("openat");
  if (call == nullptr) return std::nullopt;
  return static_cast<std::uint32_t>(call->number(arch));
}

/// Every marker becomes a jump to its block; blocks follow the frame.
Result<void> link_blocks(std::vector<sock_filter>& program,
                         const std::vector<std::vector<sock_filter>>& blocks) {
  std::vector<std::size_t> start;
  std::size_t frame = program.size();
  for (const auto& block : blocks) {
    start.push_back(program.size());
    program.insert(program.end(), block.begin(), block.end());
  }
  if (program.size() > BPF_MAXINSNS) {
    return fail("compile seccomp filter", fmt::format("{} instructions", program.size()),
                fmt::format("the kernel takes {}", BPF_MAXINSNS), "write fewer argument rules");
  }
  for (std::size_t i = 0; i < frame; ++i) {
    if (!is_marker(program[i])) continue;
    std::size_t block = program[i].k & SECCOMP_RET_DATA;
    if (block >= start.size()) return fail("compile seccomp filter", "marker", "out of range");
    program[i] = {BPF_JMP | BPF_JA, 0, 0, static_cast<std::uint32_t>(start[block] - i - 1)};
  }
  return {};
}

}  // namespace

std::string generator_id() {
  return fmt::format("dirbox {} blocks 2 libseccomp {}.{}.{}", DIRBOX_VERSION, SCMP_VER_MAJOR,
                     SCMP_VER_MINOR, SCMP_VER_MICRO);
}

std::string libseccomp_name(Arch arch, int number) {
  auto token = arch == Arch::x86_64 ? SCMP_ARCH_X86_64 : SCMP_ARCH_AARCH64;
  std::unique_ptr<char, decltype(&std::free)> name(
      ::seccomp_syscall_resolve_num_arch(token, number), &std::free);
  return name ? name.get() : "";
}

Result<Filter> compile_filter(const Policy& policy, Arch arch) {
  Context context = TRY(make_context());
  std::vector<std::vector<sock_filter>> blocks;
  std::map<ActionKind, std::size_t> plain_blocks;  // log, notify, kill without tests: shared
  for (const Call& call : calls()) {
    if (call.number(arch) < 0) continue;
    auto clauses = policy.clauses(call);
    Action plain = clauses.back().action;
    std::uint32_t answer = 0;
    if (clauses.size() == 1 && plain.kind == ActionKind::allow) {
      answer = SCMP_ACT_ALLOW;
    } else if (clauses.size() == 1 && plain.kind == ActionKind::errno_) {
      if (plain.err == ENOSYS) continue;  // the default, which libseccomp refuses to repeat
      answer = SCMP_ACT_ERRNO(static_cast<std::uint32_t>(plain.err));
    } else {
      std::size_t index = blocks.size();
      if (clauses.size() == 1) index = plain_blocks.try_emplace(plain.kind, index).first->second;
      if (index == blocks.size()) blocks.push_back(TRY(compile_block(clauses)));
      if (index >= kMaxMarkers) return fail("compile seccomp filter", call.name, "too many rules");
      answer = SCMP_ACT_TRACE(static_cast<std::uint32_t>(index));
    }
    if (int rc = ::seccomp_rule_add(context.get(), answer, call.number(arch), 0); rc != 0)
      return failed(call.name, rc);
  }
  Filter filter{TRY(export_program(context)), policy.notifies()};
  TRY_VOID(retarget(filter.program, arch));
  filter.program = TRY(pack_frame(filter.program, arch, frequent_number(arch)));
  TRY_VOID(link_blocks(filter.program, blocks));
  return filter;
}

}  // namespace dirbox::seccomp
