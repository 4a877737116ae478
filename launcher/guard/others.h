#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "launcher/guard/entry.h"
#include "launcher/guard/store.h"

namespace dirbox::guard {

/// What another session has quarantined of a path.
struct Distrusted {
  bool whole = false;                    ///< not only keys
  std::set<std::string> entries{};       ///< entry_id of the keys
  std::optional<std::string> instead{};  ///< the text that it put back, where it is known,
  std::string hash{};                    ///< and its hash
  unsigned mode = 0;                     ///< of that; 0: nothing was there
};

/// Other sandboxes in the same tree: what one of them plants may have been there when this one
/// began. What its guard quarantines since then is no state to go back to, or to compare with.
/// Where another has recorded more than can be read, what its sandbox could have changed before
/// this one began is not believed either.
class Others {
 public:
  /// `store`: this session's own; "" where nobody's are believed.
  explicit Others(std::string store) : store_(std::move(store)) {}

  /// Reads what sessions that began earlier have quarantined since this one began, at `begun` (ns
  /// since 1970), of what was there then: they know better.
  void look(std::int64_t begun);
  /// `before`, what was at `path`, without what another one had put there. Where it is known by its
  /// hash alone what was there, `now` may be that; else it is a file without a known text.
  Before correct(const std::string& path, const Before& before, const Entry& now);

  /// Whether what stands at `path` may come from another one.
  bool distrusts(const std::string& path) const {
    return blind_since_ || distrusted_.contains(path);
  }

  /// What an earlier accept() replaced is for good.
  void forget_replaced(const std::string& path);
  /// What they have quarantined of `path` by now, the user puts back. `before`: what was there
  /// until then, if anything.
  void accept(const std::string& path, std::optional<Before> before);
  /// The user could not: returns that `before`, or `now` where nothing was accepted.
  std::optional<Before> withdraw(const std::string& path, std::optional<Before> now);

 private:
  struct Read {
    std::size_t end = 0;  ///< bytes of the records
    bool stopped = false;
    std::int64_t begun = 0;  ///< as Record::begun
  };
  struct Accepted {
    std::optional<Before> before;
    std::optional<Distrusted> distrusted;
    std::int64_t earlier = 0;  ///< as accepted_
  };
  void note(const Record& record, std::int64_t now);
  Before correct_whole(Distrusted& theirs, const Before& before, const Entry& now) const;

  std::string store_;
  std::int64_t begun_ = 0;
  std::map<std::string, Read> read_;              ///< by session
  std::map<std::string, Distrusted> distrusted_;  ///< by full path
  std::map<std::string, std::int64_t> accepted_;  ///< when, by full path
  std::map<std::string, Accepted> replaced_;      ///< by the last accept()
  std::optional<std::int64_t> blind_since_;       ///< ns since 1970
};

}  // namespace dirbox::guard
