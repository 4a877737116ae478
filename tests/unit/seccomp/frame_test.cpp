#include "seccomp/frame.h"

#include <doctest/doctest.h>
#include <linux/seccomp.h>

#include <cstddef>
#include <random>

#include "seccomp/evaluate.h"

using namespace dirbox::seccomp;

namespace {

constexpr std::uint32_t kElsewhere = SECCOMP_RET_ERRNO | 38;

/// The plainest frame: one comparison per number.
std::vector<sock_filter> make_chain(const std::vector<std::uint32_t>& answers) {
  std::vector<sock_filter> out{{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, arch)},
                               {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, audit_arch(kNativeArch)},
                               {BPF_RET | BPF_K, 0, 0, kElsewhere},
                               {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)}};
  for (std::uint32_t number = 0; number < answers.size(); ++number) {
    out.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number});
    out.push_back({BPF_RET | BPF_K, 0, 0, answers[number]});
  }
  out.push_back({BPF_RET | BPF_K, 0, 0, kElsewhere});
  return out;
}

std::uint32_t answer(const std::vector<sock_filter>& program, std::uint32_t arch,
                     std::uint32_t number) {
  seccomp_data data{};
  data.arch = arch;
  data.nr = static_cast<int>(number);
  auto outcome = evaluate(program, data);
  REQUIRE(outcome);
  return outcome->value;
}

}  // namespace

TEST_CASE("a packed frame answers as the one that it was made of") {
  std::mt19937 random(7);
  for (std::size_t size : {1, 2, 3, 64, 500, 1500}) {
    for (std::uint32_t kinds : {1u, 2u, 900u}) {
      std::vector<std::uint32_t> answers(size);
      for (std::uint32_t& one : answers) one = SECCOMP_RET_TRACE | (random() % kinds);
      const auto chain = make_chain(answers);
      for (auto first : {std::optional<std::uint32_t>(), std::optional<std::uint32_t>(size / 2)}) {
        auto packed = pack_frame(chain, kNativeArch, first);
        REQUIRE(packed);
        const auto beyond = static_cast<std::uint32_t>(size);
        for (std::uint32_t number = 0; number < size; ++number)
          CHECK(answer(*packed, audit_arch(kNativeArch), number) == answers[number]);
        for (std::uint32_t number : {beyond, beyond + 1, 0x40000000U, 0x40000001U, 0xffffffffU})
          CHECK(answer(*packed, audit_arch(kNativeArch), number) == kElsewhere);
        CHECK(answer(*packed, 1, 0) == kElsewhere);
      }
    }
  }
}

TEST_CASE("a packed frame is short, and finds a number in few steps") {
  std::vector<std::uint32_t> answers(450, SECCOMP_RET_ALLOW);
  for (std::size_t number = 0; number < answers.size(); number += 10)
    answers[number] = SECCOMP_RET_ERRNO | 1;
  auto packed = pack_frame(make_chain(answers), kNativeArch, 257);
  REQUIRE(packed);
  CHECK(packed->size() < 200);
  seccomp_data data{};
  data.arch = audit_arch(kNativeArch);
  data.nr = 257;
  CHECK(evaluate(*packed, data)->steps == 5);
  data.nr = 300;
  CHECK(evaluate(*packed, data)->steps <= 13);
}

TEST_CASE("a frame that reads arguments is not packed") {
  auto chain = make_chain({1, 2});
  chain.insert(chain.end() - 1, {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, args)});
  CHECK_FALSE(pack_frame(chain, kNativeArch, std::nullopt));
}
