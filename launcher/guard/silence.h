#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "launcher/base/event_loop.h"
#include "launcher/base/result.h"
#include "launcher/guard/entry.h"
#include "launcher/guard/identity.h"
#include "launcher/guard/limits.h"
#include "launcher/guard/nodes.h"
#include "launcher/guard/tree_locks.h"

/// Whose a change is, where that can be told for sure.
namespace dirbox::guard {

/// Who sees every call by which something inside makes, renames, removes or opens a file for
/// writing, before it happens.
struct Witness {
  /// How many there have been; nullopt where one of them may not have ended, or where something
  /// else than these calls may act for the sandbox.
  std::function<std::optional<std::uint64_t>()> settle;
  /// Whether there have been no more, and still nothing else acts.
  std::function<bool(std::uint64_t)> is_silent;
};

/// Theory of operation. At some moment, the mark, every call that was seen has ended. As long as no
/// other call is seen, nothing inside can have changed what stands at a guarded name, for which it
/// would need calls; so what changes meanwhile is the host's. The first call ends this until the
/// next mark.
///
/// Content is another matter: a descriptor or a mapping from before the mark needs no call. A file
/// is sound at the mark when nobody has it open for writing, and its ctime, which only the kernel
/// sets, is that of the start or of the last verdict. A lease (fcntl(2), F_SETLEASE) tells of the
/// former, and of mappings and descriptors in flight; the ctime of pages that are pinned for direct
/// I/O, which outlive both. What was put right is sound when a disk has long filled such pages. A
/// sound file is believed in place; a new one, made since the mark, where a sound one stood or
/// none: the host may write anew what it has read there. Where the kernel's own times and counts do
/// not hold, as on overlayfs, whose mappings count for another inode, nothing is believed.
///
/// Other sandboxes that may write there have witnesses of their own: while there is one, nothing is
/// known. One that came and went since the mark has undone what it planted; where its guard does
/// not do so, it has left word of its start (note_unguarded()).
class Silence {
 public:
  static constexpr std::size_t kMostFiles = 256;  ///< more are looked at for no mark

  /// `again`: looks for a new mark, and at what was put off.
  Silence(EventLoop& loop, std::function<void()> again) : loop_(loop), again_(std::move(again)) {}
  ~Silence() { stop(); }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

  void listen_to(Witness witness) { witness_ = std::move(witness); }
  /// `word`: a file of the user's that every sandbox can find, and none can write from inside.
  void leave_word_at(std::string word) { word_ = std::move(word); }
  /// Something will act here that no guard undoes. Errors: the word cannot be left.
  Result<void> note_unguarded() const;
  TreeLocks& locks() { return locks_; }
  /// There have been calls since the mark, or there has been none, or events were lost: `again`
  /// follows in a while.
  void wake();
  void stop();

  /// A mark, in steps: begin(), then note_file() of each file, then every event that is pending is
  /// handled, then end(). False: there is none now.
  bool begin();
  /// Of each file that stands at a guarded name. `before`: what was there at `started`, or at a
  /// verdict.
  void note_file(const std::string& path, int directory, const std::string& name,
                 const Before& before, const struct timespec& started);
  bool end();
  bool has_mark() const { return marked_; }

  enum class Whose { host, unknown, later };
  /// Of `entry`, which was read of `name` in `directory`. `later`: it is still written to, by the
  /// host; the caller looks again.
  Whose whose(const std::string& path, int directory, const std::string& name, const Entry& entry);

  /// Names to be looked at again, which is asked for.
  void put_off(const std::string& path, const GuardNode& node, const std::string& name);
  using PutOff = std::map<std::string, std::pair<GuardNode, std::string>>;  ///< by full path
  PutOff take_put_off();

  void note_host(const std::string& path) {
    if (hosts_.size() < kMaxFindings) hosts_.insert(path);
  }
  /// Full paths of what the host changed.
  const std::set<std::string>& hosts() const { return hosts_; }

 private:
  enum class Writers { none, some, unknown };
  static Writers writers_of(int file);
  Whose put_off_or_give_up(const std::string& path);
  bool is_alone(const std::string& path) const;
  void ask(std::chrono::milliseconds delay);

  EventLoop& loop_;
  std::function<void()> again_;
  Witness witness_;
  TreeLocks locks_;
  std::set<std::string> alone_;  ///< where this sandbox was, at the mark
  std::string word_;
  EventLoop::TimerId timer_ = 0;
  std::chrono::milliseconds delay_{0};
  bool marked_ = false;
  std::uint64_t mark_ = 0;
  std::int64_t alone_since_ = 0;              ///< CLOCK_REALTIME, ns, before the look at the locks
  std::int64_t at_ = 0;                       ///< CLOCK_REALTIME of the mark, ns
  std::set<std::string> stood_;               ///< full paths at which there was a file, at the mark
  std::map<std::string, Identity> files_;     ///< that are sound, by full path
  std::map<std::string, std::int64_t> good_;  ///< ctime at the last verdict, by full path
  std::map<std::string, EventLoop::Clock::time_point> patience_;  ///< when each was put off first
  PutOff waiting_;
  std::set<std::string> hosts_;
};

}  // namespace dirbox::guard
