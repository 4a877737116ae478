// Texts that people and other programs rely on: the golden table of decisions, the manual.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>

#include "launcher/base/file.h"
#include "seccomp/compile.h"
#include "seccomp/describe.h"
#include "seccomp/hard_rules.h"

using namespace dirbox;
using namespace dirbox::seccomp;

namespace {

const std::string kRoot = DIRBOX_SOURCE_DIR;

/// tests/golden/NAME holds `text`; DIRBOX_UPDATE_GOLDEN=1 writes it.
void check_golden(const std::string& name, const std::string& text) {
  std::string path = kRoot + "/tests/golden/" + name;
  if (std::getenv("DIRBOX_UPDATE_GOLDEN")) REQUIRE(replace_file(path, text, 0644));
  auto golden = read_file(path);
  REQUIRE_MESSAGE(golden, path);
  CHECK_MESSAGE(*golden == text, name << " differs: DIRBOX_UPDATE_GOLDEN=1 writes it afresh");
}

std::string table_of(const PolicyInput& input) {
  auto policy = compile_policy(input);
  REQUIRE(policy);
  std::string out, group;
  for (Arch arch : {Arch::x86_64, Arch::aarch64}) {
    out += "== " + std::string(arch_name(arch)) + "\n";
    for (const Description& row : describe(*policy, arch)) {
      if (row.group != group) out += row.group + "\n";
      group = row.group;
      out += "  " + row.call + (row.when.empty() ? "" : " if " + row.when) + ": " + row.action +
             " (" + row.source + ")\n";
    }
  }
  return out;
}

}  // namespace

TEST_CASE("the decisions without a profile's word are the golden ones") {
  check_golden("seccomp-base.txt", table_of({}));
}

TEST_CASE("every description has a source and a reason") {
  PolicyInput input;
  input.allow = {{"@ptrace", {"d.toml", 4, 2}}};
  auto policy = compile_policy(input);
  REQUIRE(policy);
  std::size_t rows = 0;
  for (const Description& row : describe(*policy)) {
    CHECK(!row.source.empty());
    CHECK(!row.reason.empty());
    if (row.call == "ptrace") {
      CHECK(row.action == "allow");
      CHECK(row.source == "d.toml:4:2 (@ptrace)");
    }
    ++rows;
  }
  CHECK(rows > 280);
}

TEST_CASE("a disassembly names calls, words and answers") {
  auto policy = compile_policy({});
  REQUIRE(policy);
  for (Arch arch : {Arch::x86_64, Arch::aarch64}) {
    auto filter = compile_filter(*policy, arch);
    REQUIRE(filter);
    std::string text = disassemble(filter->program, arch);
    std::string target = "; " + std::string(arch_name(arch));
    for (const char* part :
         {"ld    arch", target.c_str(), "ld    nr", "; openat", "ld    arg1.low", "jeq   0x5412",
          "ret   allow", "ret   errno:EPERM", "ret   errno:ENOSYS"})
      CHECK_MESSAGE(text.find(part) != std::string::npos, part);
    CHECK(text.find("code ") == std::string::npos);
    CHECK(std::count(text.begin(), text.end(), '\n') ==
          static_cast<std::ptrdiff_t>(filter->program.size()));
  }
}

TEST_CASE("the manual page names every group with its state and its reason") {
  auto page = read_file(kRoot + "/man/dirbox-seccomp.7");
  REQUIRE(page);
  std::replace(page->begin(), page->end(), '\n', ' ');
  for (const Group& group : groups()) {
    std::string item = ".It Cm " + std::string(group.name) + " Pq " +
                       (group.open ? "open" : "closed, Er " + errno_name(group.err)) + " " +
                       std::string(group.reason) + " ";
    CHECK_MESSAGE(page->find(item) != std::string::npos, item);
  }
  for (const HardDenial& denial : hard_denials()) {
    CHECK_MESSAGE(page->find(".It Cm " + std::string(denial.name) + " ") != std::string::npos,
                  denial.name);
    CHECK_MESSAGE(page->find(denial.reason) != std::string::npos, denial.reason);
  }
}
