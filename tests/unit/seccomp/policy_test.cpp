#include "seccomp/policy.h"

#include <doctest/doctest.h>

#include <cerrno>

using namespace dirbox;
using namespace dirbox::seccomp;

namespace {

Origin line(std::uint32_t n) { return {"p.toml", n, 3}; }

Decision decide(const Policy& policy, const char* name, std::uint64_t a = 0, std::uint64_t b = 0,
                std::uint64_t c = 0) {
  std::uint64_t args[6] = {a, b, c, 0, 0, 0};
  return policy.decide(kNativeArch,
                       static_cast<std::uint32_t>(find_call(name)->number(kNativeArch)), args);
}

std::string answer(const PolicyInput& input, const char* name, std::uint64_t a = 0,
                   std::uint64_t b = 0, std::uint64_t c = 0) {
  auto policy = compile_policy(input);
  REQUIRE_MESSAGE(policy, (policy ? "" : policy.error().message()));
  Decision d = decide(*policy, name, a, b, c);
  return d.action.text() + " " + d.source->text();
}

std::string error_of(const PolicyInput& input) {
  auto policy = compile_policy(input);
  REQUIRE(!policy);
  return policy.error().message();
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("without a profile the table decides, and says which group") {
  CHECK(answer({}, "openat") == "allow group @file-open");
  CHECK(answer({}, "ptrace") == "errno:EPERM group @ptrace");
  CHECK(answer({}, "io_uring_setup") == "errno:ENOSYS group @io_uring");
  CHECK(answer({}, "clone3") == "errno:ENOSYS group @hidden-args");
  CHECK(answer({}, "ioctl", 0, 0x5412) == "errno:EPERM hard denial terminal-input");
  CHECK(answer({}, "ioctl", 0, 0x100005412) == "errno:EPERM hard denial terminal-input");
  CHECK(answer({}, "ioctl", 0, 0x541b) == "allow group @io");
}

TEST_CASE("the more specific entry decides, and is named") {
  PolicyInput input;
  input.allow = {{"@ptrace", line(1)}, {"keyctl", line(2)}};
  input.deny = {{"kcmp", line(3)}, {"@keyring", line(4)}};
  CHECK(answer(input, "ptrace") == "allow p.toml:1:3 (@ptrace)");
  CHECK(answer(input, "kcmp") == "errno:EPERM p.toml:3:3 (kcmp)");
  CHECK(answer(input, "keyctl") == "allow p.toml:2:3 (keyctl)");
  CHECK(answer(input, "add_key") == "errno:EPERM p.toml:4:3 (@keyring)");
}

TEST_CASE("@all is the least specific name") {
  PolicyInput input;
  input.deny = {{"@all", line(1)}};
  input.allow = {{"@poll", line(2)}, {"read", line(3)}};
  CHECK(answer(input, "read") == "allow p.toml:3:3 (read)");
  CHECK(answer(input, "poll") == "allow p.toml:2:3 (@poll)");
  CHECK(answer(input, "write") == "errno:EPERM p.toml:1:3 (@all)");
  CHECK(answer(input, "io_uring_enter") == "errno:ENOSYS p.toml:1:3 (@all)");
}

TEST_CASE("rules with tests go before names; more tests first; the stricter wins a tie") {
  PolicyInput input;
  input.deny = {{"fcntl", line(1)}};
  input.rules = {{"fcntl", {"arg1 == 1"}, "allow", line(2)},
                 {"fcntl", {"arg1 == 1", "arg2 == 9"}, "errno:EINVAL", line(3)},
                 {"fcntl", {"arg1 < 4"}, "allow", line(4)},
                 {"fcntl", {"arg2 == 7"}, "kill", line(5)}};
  CHECK(answer(input, "fcntl", 0, 1, 9) == "errno:EINVAL p.toml:3:3 (fcntl)");
  CHECK(answer(input, "fcntl", 0, 1, 7) == "kill p.toml:5:3 (fcntl)");
  CHECK(answer(input, "fcntl", 0, 1, 8) == "allow p.toml:2:3 (fcntl)");
  CHECK(answer(input, "fcntl", 0, 3, 8) == "allow p.toml:4:3 (fcntl)");
  CHECK(answer(input, "fcntl", 0, 4, 8) == "errno:EPERM p.toml:1:3 (fcntl)");
}

TEST_CASE("allowing a call by name leaves its hard denials") {
  PolicyInput input;
  input.allow = {{"ioctl", line(1)}, {"@net", line(2)}};
  CHECK(answer(input, "ioctl", 0, 0x5412) == "errno:EPERM hard denial terminal-input");
  CHECK(answer(input, "socket", 40, 1) == "errno:EAFNOSUPPORT hard denial socket-family");
  CHECK(answer(input, "socket", 16, 3, 0) == "allow p.toml:2:3 (@net)");
  CHECK(answer(input, "socket", 16, 3, 15) == "errno:EPROTONOSUPPORT hard denial netlink-protocol");
  CHECK(answer(input, "socket", 2, 1 | 02000000, 262) ==
        "errno:EPROTONOSUPPORT hard denial ip-protocol");
  CHECK(answer(input, "socket", 2, 3 | 04000, 0) == "errno:EPERM hard denial raw-socket");
  CHECK(answer(input, "socketpair", 2, 1) == "errno:EAFNOSUPPORT hard denial socketpair-family");
}

TEST_CASE("SO_LINGER is said to be set, also where denials are observed") {
  for (Observe observe : {Observe::none, Observe::writes, Observe::reads}) {
    PolicyInput input;
    input.observe = observe;
    CHECK(answer(input, "setsockopt", 3, 1, 13) == "errno:0 hard denial linger");
    CHECK(answer(input, "setsockopt", 3, 1, 7) == "allow group @net");
    CHECK(answer(input, "setsockopt", 3, 6, 13) == "allow group @net");
  }
}

TEST_CASE("nested_userns opens namespaces and mounts, and the hard denial of clone") {
  CHECK(answer({}, "clone", 0x10000011) == "errno:EPERM hard denial new-namespace");
  CHECK(answer({}, "clone", 0x11) == "allow group @process");
  PolicyInput input;
  input.nested_userns = true;
  input.nested_userns_origin = line(9);
  CHECK(answer(input, "clone", 0x10000011) == "allow group @process");
  CHECK(answer(input, "clone3") == "allow p.toml:9:3 (nested_userns)");
  CHECK(answer(input, "mount") == "allow p.toml:9:3 (nested_userns)");
  CHECK(answer(input, "mknodat", 0, 0, 020644) == "allow group @file-change");
  input.deny = {{"@mount", line(1)}};
  CHECK(answer(input, "mount") == "errno:EPERM p.toml:1:3 (@mount)");
}

TEST_CASE("a policy that notifies lets nobody else listen") {
  CHECK(answer({}, "seccomp", 1, 8) == "allow group @seccomp");
  PolicyInput input;
  input.rules = {{"@keyring", {}, "notify", line(1)}, {"io_uring_setup", {}, "notify", line(2)}};
  CHECK(answer(input, "seccomp", 1, 8) == "errno:EBUSY hard denial second-listener");
  CHECK(answer(input, "seccomp", 1, 0) == "allow group @seccomp");
  auto policy = compile_policy(input);
  REQUIRE(policy);
  CHECK(policy->notifies());
  CHECK(decide(*policy, "keyctl").action == Action{ActionKind::notify, EPERM});
  CHECK(decide(*policy, "io_uring_setup").action == Action{ActionKind::notify, ENOSYS});
}

TEST_CASE("mistakes are errors that name the place") {
  PolicyInput unknown;
  unknown.deny = {{"@ptarce", line(7)}};
  CHECK(contains(error_of(unknown), "p.toml:7:3"));
  CHECK(contains(error_of(unknown), "@ptrace"));
  unknown.deny = {{"opneat", line(8)}};
  CHECK(contains(error_of(unknown), "openat"));

  PolicyInput torn;
  torn.allow = {{"ptrace", line(1)}};
  torn.rules = {{"ptrace", {}, "errno:EACCES", line(2)}};
  CHECK(contains(error_of(torn), "p.toml:1:3"));
  CHECK(contains(error_of(torn), "p.toml:2:3"));
  torn.allow.clear();
  torn.rules = {{"ioctl", {"arg1 == 1", "arg0 == 2"}, "allow", line(3)},
                {"ioctl", {"arg0 == 0x2", "arg1 == 1"}, "kill", line(4)}};
  CHECK(contains(error_of(torn), "p.toml:3:3"));
  torn.rules = {{"ioctl", {"arg1 == 1", "arg1 == 2"}, "allow", line(5)}};
  CHECK(contains(error_of(torn), "never true together"));
  torn.rules = {{"ioctl", {}, "errno:EWHAT", line(6)}};
  CHECK(contains(error_of(torn), "p.toml:6:3"));
  torn.rules = {{"ioctl", std::vector<std::string>(17, "arg1 == 1"), "allow", line(6)}};
  CHECK(contains(error_of(torn), "more than 16"));
}

TEST_CASE("the canonical text tells policies apart, and architectures") {
  auto text = [](const PolicyInput& input, Arch arch) {
    auto policy = compile_policy(input);
    REQUIRE(policy);
    return policy->canonical_text(arch);
  };
  PolicyInput other;
  other.rules = {{"ioctl", {"arg1 == 1"}, "errno:EPERM", line(1)}};
  PolicyInput third;
  third.rules = {{"ioctl", {"arg1 == 1"}, "errno:EINVAL", line(1)}};
  CHECK(text({}, Arch::x86_64) == text({}, Arch::x86_64));
  CHECK(text({}, Arch::x86_64) != text({}, Arch::aarch64));
  CHECK(text(other, Arch::x86_64) != text({}, Arch::x86_64));
  CHECK(text(other, Arch::x86_64) != text(third, Arch::x86_64));
  PolicyInput same = other;  // where a rule stands is nothing to the filter
  same.rules[0].origin = line(77);
  CHECK(text(other, Arch::x86_64) == text(same, Arch::x86_64));
}

TEST_CASE("argument tests") {
  struct Good {
    const char *text, *again;
  };
  for (Good good :
       {Good{"arg1 == 0x5412", "arg1 == 0x5412"}, Good{"arg0&0xff!=2", "arg0 & 0xff != 0x2"},
        Good{" arg5:64 >= 4294967296 ", "arg5:64 >= 0x100000000"},
        Good{"arg0 == -100", "arg0 == 0xffffff9c"},
        Good{"arg2:64 == -1", "arg2:64 == 0xffffffffffffffff"}, Good{"arg3 < 5", "arg3 < 0x5"}}) {
    auto test = parse_test(good.text);
    REQUIRE_MESSAGE(test, good.text);
    CHECK(test->text() == good.again);
    CHECK(parse_test(test->text()).value() == *test);
  }
  for (const char* bad : {"",
                          "arg",
                          "arg6 == 1",
                          "arg1",
                          "arg1 ==",
                          "arg1 = 1",
                          "arg1 == x",
                          "arg1 == 010",
                          "arg1 == 0x",
                          "arg1 == 1 2",
                          "arg1 == 0x100000000",
                          "arg1 & 0 == 0",
                          "arg1 & 1 == 2",
                          "arg1 & 1 != 2",
                          "arg1 < 0",
                          "arg1 >= 0",
                          "arg1 <= 0xffffffff",
                          "arg1 > 0xffffffff",
                          "arg1:32 == 1",
                          "arg1 == 99999999999999999999",
                          "arg1 == --1",
                          "arg1 == -9999999999",
                          "arg1 & 0x1ffffffff == 1",
                          "arg1 == 0x-1"}) {
    CHECK_MESSAGE(!parse_test(bad), bad);
  }
}

TEST_CASE("actions") {
  CHECK(parse_action("allow", 1).value().text() == "allow");
  CHECK(parse_action("errno:ENOSYS", 1).value() == Action{ActionKind::errno_, ENOSYS});
  CHECK(parse_action("notify", EPERM).value() == Action{ActionKind::notify, EPERM});
  CHECK(parse_action("kill", 1).value().text() == "kill");
  CHECK(parse_action("log", 1).value().permits());
  for (const char* bad : {"", "Allow", "errno", "errno:", "errno:1", "errno:errno 41", "deny"})
    CHECK_MESSAGE(!parse_action(bad, 1), bad);
}
