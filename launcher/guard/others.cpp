#include "launcher/guard/others.h"

#include <sys/stat.h>
#include <time.h>

#include <utility>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/guard/nodes.h"

namespace dirbox::guard {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;  // ns

}  // namespace

std::int64_t now_in_ns() {
  struct timespec now {};
  return ::clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 ? in_ns(now) : 0;
}

void Others::look(const std::string& store, std::int64_t begun,
                  const std::map<std::string, Before>& before) {
  if (store.empty()) return;
  const std::string root = path_parent(store);
  for (const std::string& session : list_stores(path_parent(root))) {
    const std::string theirs = path_join(root, session);
    struct stat status {};
    if (theirs == store || ::stat(path_join(theirs, kRecords).c_str(), &status) != 0 ||
        status.st_mtim.tv_sec < begun / kSecond) {
      continue;
    }
    // What was read of it before is there only once.
    if (std::exchange(read_[session], status.st_size) == status.st_size) continue;
    auto records = read_records(theirs);
    if (!records) continue;
    for (const Record& record : *records) {
      if (record.at < begun || record.begun >= begun || !before.contains(record.path)) continue;
      const auto accepted = accepted_.find(record.path);
      if (accepted != accepted_.end() && record.at <= accepted->second) continue;
      Distrusted& known = distrusted_[record.path];
      for (const Finding& finding : record.findings) {
        known.whole |= finding.key.empty();
        known.keys.emplace(finding.key, finding.after);
      }
      if (record.put_back) known.instead = *record.put_back;
    }
  }
}

Before Others::correct(const std::string& path, const Before& before) const {
  const auto found = distrusted_.find(path);
  Before out = before;
  if (found == distrusted_.end() || !out.text) return out;
  const Distrusted& theirs = found->second;
  if (theirs.whole) {
    if (!theirs.instead) return {};
    out.text = theirs.instead;
    return out;
  }
  for (const auto& [key, value] : theirs.keys) out.text = without_entry(*out.text, key, value);
  return out;
}

void Others::accept(const std::string& path) {
  distrusted_.erase(path);
  accepted_[path] = now_in_ns();
}

}  // namespace dirbox::guard
