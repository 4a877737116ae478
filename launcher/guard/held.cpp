#include "launcher/guard/held.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "launcher/base/path.h"
#include "launcher/guard/nodes.h"

namespace dirbox::guard {

Result<void> Held::remember(const Spec& spec, std::map<std::string, Before>& before) {
  for (const std::string& glob : spec.globs) globs_.push_back(TRY(Glob::parse(glob)));
  hidden_.insert(spec.hidden.begin(), spec.hidden.end());
  std::size_t kept = 0;
  for (const std::string& path : spec.matched) {
    const auto identity = identify(AT_FDCWD, path.c_str());
    if (!identity) continue;
    matched_.insert(*identity);
    if (hides(path)) continue;
    UniqueFd directory(
        ::open(path_parent(path).c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    auto entry = directory.valid() ? look_at(directory.get(), std::string(path_name(path)))
                                   : std::optional<Entry>();
    if (!entry || S_ISDIR(entry->status.st_mode)) continue;
    kept += entry->text ? entry->text->size() : 0;
    if (kept > kMaxText) entry->text.reset();
    before[path] = before_from(*entry);
  }
  return {};
}

bool Held::hides(const std::string& path) const {
  for (std::string at = path; !hidden_.empty() && at != "/"; at = path_parent(at)) {
    if (hidden_.contains(at)) return true;
  }
  return false;
}

bool Held::holds(const std::string& path) const {
  for (const Glob& glob : globs_) {
    const std::string_view match = glob.find_in(path);
    if (match.empty()) continue;
    const auto identity = identify(AT_FDCWD, std::string(match).c_str());
    if (identity && !matched_.contains(*identity)) return true;
  }
  return false;
}

}  // namespace dirbox::guard
