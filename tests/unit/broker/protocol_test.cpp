#include "launcher/broker/protocol.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "launcher/base/unique_fd.h"

using namespace dirbox;
using namespace dirbox::broker;

namespace {

ExecRequest sample() {
  ExecRequest out;
  out.cwd = "/work";
  out.argv = {"docker", "ps", ""};
  out.env = {"TERM=xterm"};
  out.terminal.rows = 24;
  return out;
}

std::vector<std::byte> with_counts(std::uint32_t argc, std::uint32_t envc) {
  std::vector<std::byte> body = encode_exec(sample());
  std::memcpy(body.data(), &argc, sizeof argc);
  std::memcpy(body.data() + 4, &envc, sizeof envc);
  return body;
}

UniqueFd make_memfd(std::size_t size, int seals) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(size)) == 0);
  REQUIRE(::fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
  return fd;
}

}  // namespace

TEST_CASE("a request survives the way through bytes") {
  auto body = encode_exec(sample());
  auto got = parse_exec(wire::kWantPty | wire::kPtyStderr, body);
  REQUIRE(got);
  CHECK(got->want_pty);
  CHECK(got->pty_stderr);
  CHECK(got->cwd == "/work");
  CHECK(got->argv == sample().argv);
  CHECK(got->env == sample().env);
  CHECK(got->terminal.rows == 24);
}

TEST_CASE("stderr is the terminal only where stdin and stdout are") {
  auto body = encode_exec(sample());
  auto got = parse_exec(wire::kPtyStderr, body);
  REQUIRE(got);
  CHECK_FALSE(got->pty_stderr);
}

TEST_CASE("every truncation of a request is refused") {
  auto body = encode_exec(sample());
  for (std::size_t size = 0; size < body.size(); ++size) {
    CHECK_FALSE(parse_exec(0, std::span(body).first(size)));
  }
  body.push_back(std::byte{'x'});
  CHECK_FALSE(parse_exec(0, body));
  body.back() = std::byte{0};
  CHECK_FALSE(parse_exec(0, body));
}

TEST_CASE("counts are limits, not sizes") {
  CHECK(parse_exec(0, with_counts(3, 1)));
  CHECK_FALSE(parse_exec(0, with_counts(0, 1)));
  CHECK_FALSE(parse_exec(0, with_counts(4, 1)));
  CHECK_FALSE(parse_exec(0, with_counts(0xffffffff, 1)));
  CHECK_FALSE(parse_exec(0, with_counts(3, 0xffffffff)));
  CHECK_FALSE(parse_exec(8, with_counts(3, 1)));
}

TEST_CASE("packets of another protocol are refused") {
  auto good = encode_packet(wire::Type::signal, SIGINT);
  REQUIRE(parse_packet(good));
  for (std::size_t at : {0u, 4u, 6u}) {
    auto bad = good;
    bad[at] = std::byte{0xee};
    CHECK_FALSE(parse_packet(bad));
  }
  CHECK_FALSE(parse_packet(std::span(good).first(15)));
  CHECK_FALSE(parse_packet({}));
}

TEST_CASE("only job control signals are relayed") {
  auto relay = [](std::uint32_t signal) {
    auto bytes = encode_packet(wire::Type::signal, signal);
    return parse_control(*parse_packet(bytes)).has_value();
  };
  for (int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1}) CHECK(relay(signal));
  for (int signal : {0, SIGKILL, SIGSEGV, SIGSTOP, SIGCONT, 64, 65}) CHECK_FALSE(relay(signal));
  CHECK_FALSE(relay(0x80000000u + SIGINT));
  auto wide = encode_packet(wire::Type::winch, 70000, 80);
  CHECK_FALSE(parse_control(*parse_packet(wide)));
  auto from_server = encode_packet(wire::Type::exit, 0);
  CHECK_FALSE(parse_control(*parse_packet(from_server)));
}

TEST_CASE("text is cut at its limit") {
  CHECK(encode_packet(wire::Type::fail, 126, 0, std::string(5000, 'x')).size() ==
        sizeof(wire::Header) + wire::kMaxText);
}

TEST_CASE("a memfd that can still change is refused") {
  constexpr int kAll = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
  CHECK(read_sealed(make_memfd(100, kAll).get(), 100));
  CHECK_FALSE(read_sealed(make_memfd(100, kAll).get(), 101));
  CHECK_FALSE(read_sealed(make_memfd(100, F_SEAL_GROW | F_SEAL_SHRINK).get(), 100));
  CHECK_FALSE(read_sealed(make_memfd(100, F_SEAL_WRITE | F_SEAL_GROW).get(), 100));
  CHECK_FALSE(read_sealed(make_memfd(2 << 20, kAll).get(), 2 << 20));
  UniqueFd zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  CHECK_FALSE(read_sealed(zero.get(), 100));
}
