#include <sys/stat.h>
#include <time.h>

#include <utility>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/guard/guard.h"
#include "launcher/guard/store.h"

// Other sandboxes in the same tree: what one of them plants may have been there when this one
// began. What its guard quarantines since then is no state to go back to, or to compare with.

namespace dirbox::guard {

/// Reads what sessions that began earlier have quarantined since this one did: they know better
/// what was there.
void Guard::look_at_others() {
  if (store_path_.empty()) return;
  const std::string root = path_parent(store_path_);
  for (const std::string& session : list_stores(path_parent(root))) {
    const std::string store = path_join(root, session);
    struct stat status {};
    if (store == store_path_ || ::stat(path_join(store, kRecords).c_str(), &status) != 0 ||
        status.st_mtim.tv_sec < started_.tv_sec) {
      continue;
    }
    // What was read of it before is there only once.
    if (std::exchange(others_[session], status.st_size) == status.st_size) continue;
    auto records = read_records(store);
    if (!records) continue;
    for (const Record& record : *records) {
      if (record.at < in_ns(started_) || record.begun >= in_ns(started_) ||
          !before_.contains(record.path))
        continue;
      Distrusted& known = distrusted_[record.path];
      for (const Finding& finding : record.findings) {
        known.whole |= finding.key.empty();
        known.keys.emplace(finding.key, finding.after);
      }
      if (record.put_back) known.instead = *record.put_back;
    }
  }
}

/// What was there when the sandbox began, without what another one had put there.
Before Guard::before_of(const std::string& path) const {
  const auto known = before_.find(path);
  if (known == before_.end()) return {};
  const auto others = distrusted_.find(path);
  Before out = known->second;
  if (others == distrusted_.end() || !out.text) return out;
  const Distrusted& theirs = others->second;
  if (theirs.whole) {
    if (!theirs.instead) return {};
    out.text = theirs.instead;
    return out;
  }
  for (const auto& [key, value] : theirs.keys) out.text = without_entry(*out.text, key, value);
  return out;
}

}  // namespace dirbox::guard
