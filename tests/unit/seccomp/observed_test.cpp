#include "seccomp/observed.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <set>

#include "seccomp/compile.h"
#include "seccomp/evaluate.h"
#include "seccomp/policy.h"

using namespace dirbox;
using namespace dirbox::seccomp;

namespace {

Policy policy_of(Observe observe, PolicyInput input = {}) {
  input.observe = observe;
  auto policy = compile_policy(input);
  REQUIRE(policy);
  return *policy;
}

/// Values that some test of the tables tells apart.
constexpr std::uint64_t kValues[] = {
    0,       1,          2,          3,      O_CREAT, O_RDWR | O_CREAT,    0x5412, 0x541c,
    AF_INET, AF_NETLINK, 0x10000000, 0x2000, 0x6000,  1ULL << 32 | 0x5412, ~0ULL};

Action decide(const Policy& policy, const char* name, std::uint64_t a0 = 0, std::uint64_t a1 = 0,
              std::uint64_t a2 = 0) {
  const Call* call = find_call(name);
  REQUIRE(call != nullptr);
  std::uint64_t args[6] = {a0, a1, a2, 0, 0, 0};
  return policy.decide(Arch::x86_64, static_cast<std::uint32_t>(call->number(Arch::x86_64)), args)
      .action;
}

}  // namespace

TEST_CASE("observing changes no decision") {
  PolicyInput inputs[3];
  inputs[1].allow = {{"@ptrace", {"p.toml", 1, 1}}};
  inputs[1].deny = {{"@net", {"p.toml", 2, 1}}, {"unlink", {"p.toml", 3, 1}}};
  inputs[1].rules = {{"openat", {"arg2 & 0x3 == 0x2"}, "errno:EROFS", {"p.toml", 4, 1}},
                     {"ioctl", {"arg1 == 0x5412"}, "allow", {"p.toml", 5, 1}}};
  inputs[2].rules = {{"ptrace", {}, "notify", {"p.toml", 1, 1}},
                     {"rename", {}, "log", {"p.toml", 2, 1}}};
  for (const PolicyInput& input : inputs) {
    Policy plain = policy_of(Observe::none, input);
    for (Observe observe : {Observe::writes, Observe::reads}) {
      Policy observing = policy_of(observe, input);
      CHECK(observing.notifies());
      for (const Call& call : calls()) {
        if (call.number(Arch::x86_64) < 0) continue;
        const auto number = static_cast<std::uint32_t>(call.number(Arch::x86_64));
        for (std::uint64_t first : kValues) {
          for (std::uint64_t second : kValues) {
            std::uint64_t args[6] = {first, second, second, first, 0, 0};
            Action before = plain.decide(Arch::x86_64, number, args).action;
            Action after = observing.decide(Arch::x86_64, number, args).action;
            CAPTURE(call.name);
            CAPTURE(first);
            CAPTURE(second);
            // A second listener is what every policy that notifies refuses.
            if (call.name == "seccomp" && before != after) {
              CHECK(after == Action{ActionKind::errno_, EBUSY});
              continue;
            }
            CHECK(before.permits() == after.permits());
            if (!before.permits()) CHECK(before.err == after.err);
            if (before.kind == ActionKind::kill) CHECK(after.kind == ActionKind::kill);
            if (before.kind == ActionKind::log) CHECK(after.kind == ActionKind::log);
          }
        }
      }
    }
  }
}

TEST_CASE("the filter says what the policy says") {
  for (Observe observe : {Observe::writes, Observe::reads}) {
    Policy policy = policy_of(observe);
    auto filter = compile_filter(policy, Arch::x86_64);
    REQUIRE(filter);
    CHECK(filter->notifies);
    for (const Call& call : calls()) {
      if (call.number(Arch::x86_64) < 0) continue;
      for (std::uint64_t value : kValues) {
        seccomp_data data{};
        data.nr = call.number(Arch::x86_64);
        data.arch = audit_arch(Arch::x86_64);
        data.args[0] = data.args[1] = data.args[2] = value;
        std::uint64_t args[6] = {value, value, value, 0, 0, 0};
        auto outcome = evaluate(filter->program, data);
        REQUIRE(outcome);
        Action action =
            policy.decide(Arch::x86_64, static_cast<std::uint32_t>(data.nr), args).action;
        CAPTURE(call.name);
        CHECK(outcome_text(outcome->value) == action.text());
      }
    }
  }
}

TEST_CASE("what is asked about") {
  const Action asked{ActionKind::notify, 0}, allowed{};
  Policy writes = policy_of(Observe::writes);
  CHECK(decide(writes, "openat", 0, 0, O_RDONLY) == allowed);
  CHECK(decide(writes, "openat", 0, 0, O_RDONLY | O_CLOEXEC | O_DIRECTORY) == allowed);
  CHECK(decide(writes, "openat", 0, 0, O_WRONLY) == asked);
  CHECK(decide(writes, "openat", 0, 0, O_RDWR) == asked);
  CHECK(decide(writes, "openat", 0, 0, O_RDONLY | O_CREAT) == asked);
  CHECK(decide(writes, "open", 0, O_WRONLY) == asked);
  CHECK(decide(writes, "unlinkat") == asked);
  CHECK(decide(writes, "execve") == allowed);
  CHECK(decide(writes, "newfstatat") == allowed);
  CHECK(decide(writes, "ptrace") == Action{ActionKind::notify, EPERM});
  CHECK(decide(writes, "ioctl", 0, 0x5412) == Action{ActionKind::notify, EPERM});
  // What programs probe for and do without.
  CHECK(decide(writes, "clone3") == Action{ActionKind::errno_, ENOSYS});
  CHECK(decide(writes, "io_uring_setup") == Action{ActionKind::errno_, ENOSYS});
  Policy reads = policy_of(Observe::reads);
  CHECK(decide(reads, "openat", 0, 0, O_RDONLY) == asked);
  CHECK(decide(reads, "execve") == asked);
  CHECK(decide(reads, "newfstatat") == allowed);
}

TEST_CASE("every observed call exists and is open without a profile's word") {
  for (const Observed& observed : observed_calls()) {
    CAPTURE(observed.call);
    const Call* call = find_call(observed.call);
    REQUIRE(call != nullptr);
    CHECK(group_of(*call).open);
  }
}
