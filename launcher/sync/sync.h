#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launcher/base/event_loop.h"
#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/guard/entry.h"
#include "launcher/sync/host_file.h"
#include "launcher/sync/keys.h"
#include "launcher/sync/spec.h"

/// Brings the files that a private home shares with the host back to it.
namespace dirbox::sync {

/// Theory of operation. start() reads each file once; the sandbox begins with a copy of that text,
/// in a file system of its own, where programs can replace it by rename(2) and make their lock
/// directories beside it. The directories that hold the copies come out of the sandbox as
/// descriptors, by which they are seen as long as anything lives, and after. Every kInterval, and
/// when the last process inside is gone, a copy that changed is combined with what the host has by
/// then (HostFile): JSON objects member by member (merge.h), of which only what the key table of
/// the file lists comes back (keys.h); anything else as a whole, where the later writer wins and
/// what the host had changed meanwhile is kept aside, as the guard keeps what it quarantines.
///
/// Limits: what the host changes while a sandbox runs is not seen inside. A removal inside is none
/// on the host. Nothing comes back that is, or would make the host's file, larger than kMaxInside
/// and than what the host has; nor, where a table lists what may, into a file that is no JSON
/// object.
class Syncer {
 public:
  static constexpr std::chrono::milliseconds kInterval{2000};
  static constexpr std::chrono::milliseconds kBusy{50};        ///< after a lock that was not free
  static constexpr std::chrono::milliseconds kPatience{2000};  ///< for a lock, at the end
  static constexpr std::size_t kMaxInside = 4 << 20;

  /// `store`: where something is kept aside, see guard/store.h; made when that happens.
  Syncer(EventLoop& loop, Spec spec, std::string store);
  ~Syncer();
  Syncer(const Syncer&) = delete;
  Syncer& operator=(const Syncer&) = delete;

  /// Before anything runs inside.
  Result<void> start();
  /// With what the sandbox begins; nullptr: the host has no such file.
  const std::string* content_of(const std::string& path) const;
  /// `directories`: one descriptor for each of directories_of(spec).
  void attach(std::vector<UniqueFd> directories);
  /// After the last process inside.
  void finish();

  const std::vector<guard::Finding>& findings() const { return findings_; }
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  struct State {
    HostFile host;
    const KeyTable* table;
    Text first;  ///< with which the sandbox began
    Text sent;   ///< the copy when it was last brought back
    std::uint64_t inode = 0;
    std::int64_t changed = 0;  ///< ctime of the copy when it was last looked at
  };

  void look();
  bool bring_back(const File& file, State& state, bool last);
  Result<bool> send(State& state, const std::string& ours, bool last);
  void report(State& state, const std::string& ours);
  std::optional<UniqueFd> open_copy(const File& file) const;
  static Result<std::string> bounded(const State& state, const Text& theirs, std::string text);
  Result<std::string> combine(const State& state, const Text& base, const Text& theirs,
                              const std::string& ours, bool from_inside);
  Result<std::string> keep(const std::string& path, const std::string& text,
                           std::vector<guard::Finding> findings);

  EventLoop& loop_;
  Spec spec_;
  std::string store_path_;
  std::vector<std::string> names_;  ///< of directories_
  std::vector<UniqueFd> directories_;
  std::vector<State> states_;  ///< one per file
  EventLoop::TimerId timer_ = 0;
  unsigned kept_;
  std::vector<guard::Finding> findings_;
  std::vector<std::string> complaints_;
};

}  // namespace dirbox::sync
