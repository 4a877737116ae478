#pragma once
#include <chrono>
#include <cstddef>

/// How much the Guard does, and when.
namespace dirbox::guard {

inline constexpr std::size_t kMaxWatches = 4096;
inline constexpr std::size_t kSlice = 32;
inline constexpr std::size_t kMaxEntries = 4096;  ///< of a directory that are looked through
inline constexpr std::size_t kFewEntries = 256;   ///< a list of them is cheaper than look-ups
inline constexpr std::size_t kMaxQueue = 4 * kMaxWatches;
inline constexpr std::size_t kAtOnce = 32;          ///< directories that one event is followed to
inline constexpr std::size_t kAtMost = 200'000;     ///< directories that finish() looks through
inline constexpr std::size_t kMaxFindings = 1000;   ///< the rest is undone and counted
inline constexpr std::size_t kMaxComplaints = 100;  ///< then one that there are more
inline constexpr std::chrono::milliseconds kDelay{20};  ///< before anything is watched
/// The same while nothing inside has made, opened for writing or moved anything.
inline constexpr std::chrono::milliseconds kQuietDelay{250};
inline constexpr std::chrono::milliseconds kPoll{100};  ///< between looks without watches
inline constexpr std::chrono::milliseconds kBetweenSlices{5};
inline constexpr int kPollsInSilence = 10;  ///< before it is said that they are needed

}  // namespace dirbox::guard
