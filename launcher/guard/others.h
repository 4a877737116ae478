#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "launcher/guard/entry.h"
#include "launcher/guard/store.h"

namespace dirbox::guard {

/// Other sandboxes in the same tree: what one of them plants may have been there when this one
/// began. What its guard quarantines since then is no state to go back to, or to compare with.
class Others {
 public:
  /// Reads what sessions that began earlier have quarantined since this one began, at `begun` (ns
  /// since 1970), of what was there then, `before`: they know better. `store`: this session's own.
  void look(const std::string& store, std::int64_t begun,
            const std::map<std::string, Before>& before);
  /// `before`, what was at `path`, without what another one had put there.
  Before correct(const std::string& path, const Before& before) const;
  /// What they have quarantined of `path` by now, the user has put back.
  void accept(const std::string& path);

 private:
  std::map<std::string, off_t> read_;             ///< how much their sessions have recorded
  std::map<std::string, Distrusted> distrusted_;  ///< by full path
  std::map<std::string, std::int64_t> accepted_;  ///< when, by full path
};

/// By the clock that file systems take their times from, in ns since 1970; 0 where there is none.
std::int64_t now_in_ns();

}  // namespace dirbox::guard
