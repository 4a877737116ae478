#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "launcher/base/file.h"
#include "launcher/base/text.h"
#include "launcher/guard/guard.h"
#include "launcher/guard/store.h"

// Where what is displaced goes, and how much of it.

namespace dirbox::guard {

/// Whether what is displaced is kept as well: it is of no use a thousand times. What was there
/// before, and cannot be put back, is the user's.
bool Guard::has_room_to_keep(const std::string& path, const Before& before,
                             const Entry& now) const {
  const std::uint64_t size = static_cast<std::uint64_t>(now.status.st_size);
  if (kept_ < kMostKept && recorded_ < kMostRecorded && size <= kMostStored &&
      stored_ + size <= kMostStored)
    return true;
  return before.exists && !before.text &&
         std::none_of(findings_.begin(), findings_.end(),
                      [&](const Finding& finding) { return finding.path == path; });
}

Result<int> Guard::open_store() {
  if (store_.valid()) return store_.get();
  if (store_path_.empty()) return fail("quarantine", "", "no home directory");
  TRY_VOID(make_directories(store_path_));
  store_.reset(::open(store_path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!store_.valid()) return fail_errno("quarantine", escape_for_terminal(store_path_));
  return store_.get();
}

}  // namespace dirbox::guard
