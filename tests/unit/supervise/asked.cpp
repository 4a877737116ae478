#include "launcher/supervise/asked.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "launcher/base/unique_fd.h"
#include "tests/support/scratch.h"

namespace dirbox::supervise {
namespace {

pid_t thread_id() { return static_cast<pid_t>(::syscall(SYS_gettid)); }

/// A number that no thread has: beyond what the kernel gives (proc_sys_kernel(5), pid_max).
constexpr pid_t kNobody = 1 << 23;

void wait_until(auto condition) {
  while (!condition()) std::this_thread::yield();
}

/// A thread that runs, and sleeps in no call, until stop().
struct Busy {
  Busy() {
    wait_until([&] { return id != 0; });
  }
  ~Busy() { stop(); }
  void stop() {
    ended = true;
    if (thread.joinable()) thread.join();
  }
  std::atomic<pid_t> id{0};
  std::atomic<bool> ended{false};
  std::thread thread{[this] {
    id = thread_id();
    while (!ended) {
    }
  }};
};

TEST_CASE("a thread has left a call that is asked about when it is gone, or waits in another") {
  const Scratch scratch;
  const std::string fifo = scratch.path + "/fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  std::atomic<pid_t> opener{0};
  std::thread opens([&] {
    opener = thread_id();
    const UniqueFd end(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC));
  });
  wait_until([&] { return opener != 0; });
  const auto in_call = [&] {
    char text[64] = {};
    const UniqueFd file(
        ::open(("/proc/" + std::to_string(opener) + "/syscall").c_str(), O_RDONLY | O_CLOEXEC));
    return ::read(file.get(), text, sizeof text - 1) > 0 &&
           std::string(text).starts_with(std::to_string(SYS_openat));
  };
  wait_until(in_call);
  CHECK_FALSE(has_left_observed_call(opener));
  {
    const UniqueFd other(::open(fifo.c_str(), O_RDONLY | O_CLOEXEC));
    opens.join();
  }
  Busy busy;
  CHECK_FALSE(has_left_observed_call(busy.id));
  CHECK(has_left_observed_call(kNobody));

  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  std::atomic<pid_t> reader{0};
  std::thread reads([&] {
    reader = thread_id();
    char byte = 0;
    CHECK(::read(ends[0], &byte, 1) == 0);
  });
  wait_until([&] { return reader != 0 && has_left_observed_call(reader); });
  ::close(ends[1]);
  reads.join();
  ::close(ends[0]);
}

TEST_CASE("questions are counted, and the next one after settle() is told") {
  Asked asked;
  REQUIRE(asked.make());
  CHECK(asked.settle() == 0);
  CHECK(asked.note(kNobody));
  CHECK_FALSE(asked.note(kNobody));
  CHECK(asked.count() == 2);
  CHECK(asked.settle() == 2);
  CHECK(asked.note(kNobody + 1));
  asked.wait_again();
  CHECK(asked.note(kNobody + 1));
}

TEST_CASE("a thread that may be in a call keeps it from settling, until it has asked no more") {
  Asked asked;
  REQUIRE(asked.make());
  Busy busy;
  asked.note(busy.id);
  CHECK_FALSE(asked.settle());
  busy.stop();
  CHECK(asked.settle() == 1);
  // What has settled is not looked at again.
  CHECK(asked.settle() == 1);
}

TEST_CASE("threads that have ended make room") {
  Asked asked;
  REQUIRE(asked.make());
  for (pid_t i = 0; i < 9000; ++i) asked.note(kNobody + i);
  CHECK(asked.settle() == 9000);
}

TEST_CASE("what acts unseen ends it") {
  Asked asked;
  REQUIRE(asked.make());
  asked.note(kNobody);
  asked.lose();
  asked.note(kNobody);
  CHECK(asked.count() == 2);
  CHECK_FALSE(asked.settle());
}

TEST_CASE("an observer in a process of its own is heard") {
  Asked asked;
  REQUIRE(asked.make());
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (int i = 0; i < 3; ++i) asked.note(kNobody);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(asked.settle() == 3);
}

}  // namespace
}  // namespace dirbox::supervise
