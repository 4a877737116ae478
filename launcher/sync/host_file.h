#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// The host's side of a file that programs replace by rename(2).
namespace dirbox::sync {

inline constexpr std::size_t kMaxHostBytes = 16 << 20;  // no state file is near it

/// Text of a file; nullopt: there is none.
using Text = std::optional<std::string>;

/// What a file becomes that was `base`, and which two sides made `theirs` and `ours` of.
using Combine = std::function<Result<std::string>(const Text& base, const Text& theirs,
                                                  const std::string& ours)>;

/// Theory of operation. Whoever replaces the file holds two locks: flock(2) on its directory, for
/// other instances of dirbox, and the directory FILE.lock, by which Claude Code and what else uses
/// npm's proper-lockfile keep out each other; one whose time is older than kStale is left over. The
/// content goes to a file beside it, which is exchanged with it (RENAME_EXCHANGE): at no time is
/// there half a file, or none. What came out is compared with what the content was made from, and
/// when somebody without a lock has written meanwhile, it is combined with what was written and the
/// exchange done again. Where that fails, what came out goes back. So locks make it quick, and are
/// not what it relies on.
class HostFile {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kStale{10};  // proper-lockfile, README: stale
  static constexpr int kMaxExchanges = 16;

  /// `path` is absolute and without symlinks; its directory exists when update() is called.
  explicit HostFile(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }

  /// Errors: it is not a regular file, too large, or cannot be read.
  Result<Text> read() const;

  /// Makes it what `combine` makes of `base`, what is there, and `ours`; an equal text is not
  /// written. Waits for the locks until `deadline` and goes on without them; where `must` is false,
  /// it then returns false instead and has changed nothing.
  Result<bool> update(const Text& base, const std::string& ours, const Combine& combine,
                      Clock::time_point deadline, bool must) const;

 private:
  std::string path_;
};

}  // namespace dirbox::sync
