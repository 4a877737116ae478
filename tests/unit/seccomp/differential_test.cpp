// Every decision of a filter equals the Policy's: for the whole table, both architectures, and
// arguments at and around every value that a test names.
#include <doctest/doctest.h>
#include <linux/audit.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ios>
#include <set>

#include "seccomp/argument_block.h"
#include "seccomp/compile.h"
#include "seccomp/evaluate.h"
#include "seccomp/policy.h"

using namespace dirbox;
using namespace dirbox::seccomp;

namespace {

using Args = std::array<std::uint64_t, 6>;

Policy policy_of(const PolicyInput& input) {
  auto policy = compile_policy(input);
  REQUIRE_MESSAGE(policy, (policy ? "" : policy.error().message()));
  return std::move(*policy);
}

Filter filter_of(const Policy& policy, Arch arch) {
  auto filter = compile_filter(policy, arch);
  REQUIRE_MESSAGE(filter, (filter ? "" : filter.error().message()));
  return std::move(*filter);
}

std::uint32_t run(const Filter& filter, std::uint32_t audit, std::uint32_t nr, const Args& args) {
  seccomp_data data{};
  data.nr = static_cast<int>(nr);
  data.arch = audit;
  data.instruction_pointer = 0x7f0012345678;
  std::copy(args.begin(), args.end(), data.args);
  auto outcome = evaluate(filter.program, data);
  REQUIRE_MESSAGE(outcome, (outcome ? "" : outcome.error().message()));
  return outcome->value;
}

/// Values of one argument that a mistake in a mask, a width or an order would tell apart.
std::vector<std::uint64_t> interesting(const std::vector<Test>& tests, std::uint8_t arg) {
  std::set<std::uint64_t> out = {0, ~std::uint64_t{0}};
  for (const Test& test : tests) {
    if (test.arg != arg) continue;
    for (std::uint64_t v : {test.value, test.value - 1, test.value + 1, test.mask, ~test.mask,
                            test.value | ~test.mask, test.value ^ (test.mask & -test.mask)}) {
      out.insert({v, v & 0xffffffff, v | std::uint64_t{1} << 32, v | std::uint64_t{1} << 63});
    }
  }
  return {out.begin(), out.end()};
}

std::size_t compare_call(const Policy& policy, const Filter& filter, Arch arch, const Call& call) {
  std::vector<Test> tests;
  for (const Clause& clause : policy.clauses(call))
    tests.insert(tests.end(), clause.tests.begin(), clause.tests.end());
  auto nr = static_cast<std::uint32_t>(call.number(arch));
  std::vector<std::uint8_t> used;
  for (const Test& test : tests) {
    if (std::find(used.begin(), used.end(), test.arg) == used.end()) used.push_back(test.arg);
  }
  std::vector<Args> all = {Args{}};
  for (std::uint8_t arg : used) {
    std::vector<Args> grown;
    for (const Args& args : all) {
      for (std::uint64_t value : interesting(tests, arg)) {
        grown.push_back(args);
        grown.back()[arg] = value;
      }
    }
    all = std::move(grown);
  }
  std::size_t wrong = 0;
  for (const Args& args : all) {
    std::uint64_t raw[6];
    std::copy(args.begin(), args.end(), raw);
    std::uint32_t want = return_value(policy.decide(arch, nr, raw).action);
    std::uint32_t got = run(filter, audit_arch(arch), nr, args);
    if (want != got && ++wrong < 4) {
      FAIL_CHECK(call.name << " " << std::hex << args[0] << " " << args[1] << " " << args[2] << ": "
                           << outcome_text(got) << ", policy says " << outcome_text(want));
    }
  }
  return all.size();
}

void compare(const PolicyInput& input) {
  Policy policy = policy_of(input);
  for (Arch arch : {Arch::x86_64, Arch::aarch64}) {
    Filter filter = filter_of(policy, arch);
    std::size_t decisions = 0;
    for (std::uint32_t nr = 0; nr < 1200; ++nr) {
      const Call* call = find_call(arch, static_cast<int>(nr));
      if (call) {
        decisions += compare_call(policy, filter, arch, *call);
      } else {
        CHECK(outcome_text(run(filter, audit_arch(arch), nr, {})) == "errno:ENOSYS");
      }
    }
    CHECK(decisions > calls().size() / 2);
    // Foreign ABIs and numbers no table has: i386 and x32 have other calls under the same number.
    std::uint32_t foreign =
        arch == Arch::x86_64 ? std::uint32_t{AUDIT_ARCH_I386} : std::uint32_t{AUDIT_ARCH_ARM};
    for (std::uint32_t nr = 0; nr < 600; ++nr) {
      CHECK(outcome_text(run(filter, foreign, nr, {})) == "errno:ENOSYS");
      CHECK(outcome_text(run(filter, audit_arch(arch), nr | 0x40000000, {})) == "errno:ENOSYS");
      CHECK(outcome_text(run(filter, audit_arch(arch), nr | 0x80000000, {})) == "errno:ENOSYS");
    }
    for (std::uint32_t nr : {0x3fffffffU, 0x7fffffffU, 0xfffffffeU, 0xffffffffU})
      CHECK(outcome_text(run(filter, audit_arch(arch), nr, {})) == "errno:ENOSYS");
  }
}

RuleInput rule(std::string syscall, std::vector<std::string> when, std::string action) {
  return {std::move(syscall), std::move(when), std::move(action), {"t.toml", 1, 1}};
}

}  // namespace

TEST_CASE("the policy without a profile's word") { compare({}); }

TEST_CASE("nested user namespaces") {
  PolicyInput input;
  input.nested_userns = true;
  compare(input);
}

TEST_CASE("everything closed but a few, and everything open") {
  PolicyInput strict;
  strict.deny = {{"@all", {"s.toml", 1, 1}}};
  for (const char* name : {"read", "write", "exit_group", "@thread", "socket"})
    strict.allow.push_back({name, {"s.toml", 2, 1}});
  compare(strict);
  PolicyInput wide;
  wide.allow = {{"@all", {"w.toml", 1, 1}}};
  compare(wide);
}

TEST_CASE("all actions, every operator, both widths, several tests of one argument") {
  PolicyInput input;
  input.rules = {
      rule("ptrace", {}, "notify"),
      rule("reboot", {}, "kill"),
      rule("sync", {}, "log"),
      rule("acct", {}, "kill"),
      rule("getpriority", {"arg0 == 1"}, "kill"),
      rule("getpriority", {"arg0 == 1", "arg1 != 0"}, "log"),
      rule("setpriority", {"arg2 > 10", "arg2 <= 15", "arg0 >= 1", "arg1 < 7"}, "errno:EACCES"),
      rule("lseek", {"arg1:64 > 0x123456789"}, "errno:EFBIG"),
      rule("lseek", {"arg1:64 < 0x100000000", "arg2 != 0"}, "errno:EINVAL"),
      rule("ftruncate", {"arg1:64 >= 0x100000000", "arg1:64 <= 0x200000001"}, "errno:EFBIG"),
      rule("mmap", {"arg1:64 & 0xff00000000000fff == 0x1000000000000001"}, "notify"),
      rule("mmap", {"arg1:64 != 0x500000000", "arg2 & 4 == 4"}, "log"),
      rule("mremap", {"arg1:64 & 0xff00000000 != 0x100000000"}, "errno:ENOMEM"),
      rule("madvise", {"arg2 < 5", "arg2 != 3"}, "errno:EINVAL"),
      rule("fcntl", {"arg1 == 0", "arg2:64 <= 5"}, "errno:EMFILE"),
      rule("@keyring", {"arg0 == 0"}, "allow"),
      rule("@all", {"arg5:64 == 0xdeadbeefdeadbeef"}, "kill"),
  };
  compare(input);
}

TEST_CASE("openings of hard denials") {
  PolicyInput input;
  input.rules = {
      rule("ioctl", {"arg1 == 0x5412"}, "allow"),
      rule("ioctl", {"arg1 & 0xff00 == 0x5400"}, "allow"),
      rule("socket", {"arg0 == 40"}, "allow"),
      rule("socket", {"arg0 == 16", "arg2 == 15"}, "allow"),
      rule("socket", {"arg0 == 2", "arg1 & 0xf == 3", "arg2 == 1"}, "log"),
      rule("personality", {"arg0 == 0x40000"}, "allow"),
      rule("clone", {"arg0 & 0x7e020000 == 0x10000000"}, "allow"),
      rule("@net", {"arg0 < 50"}, "allow"),
  };
  compare(input);
  Policy policy = policy_of(input);
  auto decide = [&](const char* name, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    std::uint64_t args[6] = {a, b, c, 0, 0, 0};
    return policy.decide(Arch::x86_64, static_cast<std::uint32_t>(find_call(name)->x86_64), args)
        .action.text();
  };
  CHECK(decide("ioctl", 0, 0x5412, 0) == "allow");
  CHECK(decide("ioctl", 0, 0x541c, 0) == "errno:EPERM");  // within the mask, but not named
  CHECK(decide("ioctl", 0, 0x5401, 0) == "allow");
  CHECK(decide("socket", 40, 1, 0) == "allow");
  CHECK(decide("socket", 38, 5, 0) == "errno:EAFNOSUPPORT");  // AF_ALG, despite the range on @net
  CHECK(decide("socket", 16, 3, 15) == "allow");
  CHECK(decide("socket", 16, 3, 12) == "errno:EPROTONOSUPPORT");
  CHECK(decide("socket", 2, 3, 1) == "log");
  CHECK(decide("socket", 2, 3, 6) == "errno:EPERM");
  CHECK(decide("socket", 2, 1, 132) == "errno:EPROTONOSUPPORT");
  CHECK(decide("clone", 0x10000011, 0, 0) == "allow");
  CHECK(decide("clone", 0x30000011, 0, 0) == "errno:EPERM");
}

TEST_CASE("plain answers need no argument: the kernel's bitmap holds them") {
  Policy policy = policy_of({});
  for (Arch arch : {Arch::x86_64, Arch::aarch64}) {
    Filter filter = filter_of(policy, arch);
    std::size_t tested = 0;
    for (const Call& call : calls()) {
      if (call.number(arch) < 0) continue;
      seccomp_data data{};
      data.nr = call.number(arch);
      data.arch = audit_arch(arch);
      auto outcome = evaluate(filter.program, data);
      REQUIRE(outcome);
      CHECK_MESSAGE(outcome->constant == (policy.clauses(call).size() == 1), call.name);
      tested += !outcome->constant;
    }
    CHECK(tested <= 16);
  }
}
