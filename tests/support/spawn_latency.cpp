#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

/// spawn_latency N A B: runs the programs A and B N times each, in turn, and prints the median and
/// the minimum of posix_spawn to wait in microseconds, and what B adds to A.
int main(int argc, char** argv) {
  if (argc != 4) return 2;
  int rounds = std::atoi(argv[1]);
  std::vector<double> times[2];
  for (int i = 0; i < rounds * 2; ++i) {
    char* program[] = {argv[2 + i % 2], nullptr};
    auto begin = std::chrono::steady_clock::now();
    pid_t pid;
    int status = 0;
    if (::posix_spawn(&pid, program[0], nullptr, nullptr, program, environ) != 0) return 1;
    if (::waitpid(pid, &status, 0) != pid || status != 0) return 1;
    times[i % 2].push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  for (auto& series : times) std::sort(series.begin(), series.end());
  auto middle = static_cast<std::size_t>(rounds / 2);
  for (int i = 0; i < 2; ++i) {
    std::printf("%-40s p50 %7.0f us   min %7.0f us\n", argv[2 + i], times[i][middle], times[i][0]);
  }
  std::printf("added p50 %.0f us, min %.0f us\n", times[1][middle] - times[0][middle],
              times[1][0] - times[0][0]);
  return 0;
}
