// The group table is a partition of every system call table at hand.
#include <doctest/doctest.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "seccomp/compile.h"
#include "seccomp/groups.h"
#include "seccomp/hard_rules.h"

using namespace dirbox::seccomp;

namespace {

// Entry points of the kernel that have another name than the call.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kRenamed = {{
    {"newstat", "stat"},
    {"newfstat", "fstat"},
    {"newlstat", "lstat"},
    {"newuname", "uname"},
    {"sendfile64", "sendfile"},
    {"umount", "umount2"},
}};

// Entry points that x86-64 has no number for: those of 32-bit ABIs, and weak ones of other
// architectures.
const std::set<std::string_view> kOtherAbi = {
    "fadvise64_64",
    "fstatfs64",
    "gethostname",
    "ipc",
    "llseek",
    "mmap_pgoff",
    "ni_syscall",
    "nice",
    "old_getrlimit",
    "old_msgctl",
    "old_readdir",
    "old_semctl",
    "old_shmctl",
    "oldumount",
    "olduname",
    "pciconfig_iobase",
    "pciconfig_read",
    "pciconfig_write",
    "recv",
    "rtas",
    "s390_ipc",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "send",
    "sgetmask",
    "signal",
    "sigpending",
    "sigprocmask",
    "sigsuspend",
    "socketcall",
    "spu_create",
    "spu_run",
    "ssetmask",
    "statfs64",
    "stime",
    "subpage_prot",
    "sync_file_range2",
    "vm86",
    "vm86old",
    "waitpid",
};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_other_abi(std::string_view entry) {
  return kOtherAbi.count(entry) != 0 || entry.substr(0, 5) == "ia32_" || ends_with(entry, "16") ||
         ends_with(entry, "time32") || ends_with(entry, "32");
}

}  // namespace

TEST_CASE("every call is in one group, under one name, with a reason") {
  std::set<std::string_view> names;
  std::set<std::size_t> used;
  for (const Call& call : calls()) {
    CHECK_MESSAGE(names.insert(call.name).second, call.name);
    CHECK(call.group < groups().size());
    CHECK_MESSAGE((call.x86_64 >= 0 || call.aarch64 >= 0), call.name);
    CHECK_MESSAGE(reason_of(call).size() > 10, call.name);
    CHECK(find_call(call.name) == &call);
    for (Arch arch : {Arch::x86_64, Arch::aarch64}) {
      if (call.number(arch) >= 0) CHECK(find_call(arch, call.number(arch)) == &call);
    }
    used.insert(call.group);
  }
  CHECK(used.size() == groups().size());
}

TEST_CASE("groups have a name, a reason and an errno that their state explains") {
  std::set<std::string_view> names;
  for (const Group& group : groups()) {
    CHECK(names.insert(group.name).second);
    CHECK(group.name.front() == '@');
    CHECK(group.name != "@all");
    CHECK(group.reason.back() == '.');
    CHECK((group.err == EPERM || (group.err == ENOSYS && !group.open)));
    CHECK(find_group(group.name) == &group);
  }
  CHECK(groups().size() >= 25);
}

TEST_CASE("calls since 424 have one number everywhere") {
  for (const Call& call : calls()) {
    if (call.x86_64 >= 424 || call.aarch64 >= 424)
      CHECK_MESSAGE(call.x86_64 == call.aarch64, call.name);
  }
  CHECK(find_call("file_setattr")->x86_64 == 469);
  CHECK(find_call("uretprobe")->aarch64 == -1);
}

TEST_CASE("libseccomp's tables agree") {
  for (Arch arch : {Arch::x86_64, Arch::aarch64}) {
    int known = 0;
    for (int number = 0; number < 600; ++number) {
      std::string name = libseccomp_name(arch, number);
      const Call* call = find_call(arch, number);
      if (name.empty()) continue;
      ++known;
      REQUIRE_MESSAGE(call, name);
      CHECK(call->name == name);
    }
    CHECK(known > 280);
  }
}

TEST_CASE("the C library's numbers agree") {
#define CHECK_NUMBER(name) CHECK(find_call(#name)->number(kNativeArch) == SYS_##name)
  CHECK_NUMBER(openat);
  CHECK_NUMBER(clone3);
  CHECK_NUMBER(ptrace);
  CHECK_NUMBER(seccomp);
  CHECK_NUMBER(socket);
  CHECK_NUMBER(unshare);
  CHECK_NUMBER(newfstatat);
  CHECK_NUMBER(io_uring_setup);
  CHECK_NUMBER(process_mrelease);
#undef CHECK_NUMBER
}

TEST_CASE("every call of the running kernel is in the table") {
  std::string_view prefix = kNativeArch == Arch::x86_64 ? "__x64_sys_" : "__arm64_sys_";
  std::ifstream symbols("/proc/kallsyms");
  std::string address, type, symbol, rest;
  int seen = 0;
  while (symbols >> address >> type >> symbol && std::getline(symbols, rest)) {
    // "x.cold" is the compiler's split of x.
    if (symbol.substr(0, prefix.size()) != prefix || symbol.find('.') != std::string::npos)
      continue;
    std::string_view entry = std::string_view(symbol).substr(prefix.size());
    for (const auto& [from, to] : kRenamed) {
      if (entry == from) entry = to;
    }
    ++seen;
    CHECK_MESSAGE((find_call(entry) != nullptr || is_other_abi(entry)), entry);
  }
  if (seen == 0) MESSAGE("skipped: /proc/kallsyms names no system calls here");
}

TEST_CASE("hard denials name calls of the table and are not vacuous") {
  for (const HardDenial& denial : hard_denials()) {
    CHECK_MESSAGE(find_call(denial.call), denial.call);
    // What a program's own Landlock would be denied for is no argument of the call.
    CHECK((!denial.tests.empty() || denial.when == HardDenial::When::enforcing));
    CHECK(denial.err >= 0);
    CHECK(denial.reason.back() == '.');
    for (const Test& test : denial.tests) {
      auto again = parse_test(test.text());
      REQUIRE_MESSAGE(again, test.text());
      CHECK(*again == test);
    }
  }
}
