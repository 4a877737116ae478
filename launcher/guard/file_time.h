#pragma once
#include <time.h>

#include <cstdint>

#include "launcher/base/result.h"

/// The times that the kernel gives to files that change: ctimes, and times of birth.
namespace dirbox::guard {

inline std::int64_t in_ns(const struct timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// Longer than a tick of the clock from which files get their times.
inline constexpr std::int64_t kTick = 20'000'000;  // ns

/// What a file that is changed now gets for its time. No file that changed earlier has a later one,
/// and none that changes later an earlier one. Changes within one tick of the kernel (1 to 10 ms)
/// have one time before Linux 6.13. Fails with memfd_create's errno.
Result<struct timespec> file_time();

/// Whether a file with the time `changed` has been changed at file_time() `moment`, or since. When
/// in doubt: some file systems keep a time in units of up to two seconds, rounded down.
bool is_since(const struct timespec& changed, const struct timespec& moment);

/// CLOCK_REALTIME in ns since 1970, of which no file's time is ahead.
std::int64_t now_in_ns();

}  // namespace dirbox::guard
