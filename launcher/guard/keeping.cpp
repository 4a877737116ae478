#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
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

/// Undoes a change and keeps what it displaces. The sandbox can fill the disk: what finds no place
/// goes all the same, unless it is the user's and cannot be put back. Returns the name of what is
/// kept, "" for nothing.
std::string Guard::set_right(const Node& node, int directory, const std::string& name,
                             const NameRule& rule, const Before& before, const Entry& now,
                             std::vector<Finding>& found) {
  const std::string path = full_name(node, name);
  std::string kept = fmt::format("{}", kept_ + 1);
  auto undo_into = [&](int store) {
    return undo_with_rights(directory, [&] {
      return undo_entry(directory, name, rule, before, now, path_to_tree(node), store, kept);
    });
  };
  if (!has_room_to_keep(path, before, now)) {
    if (auto done = undo_into(-1); !done) {
      complain(fmt::format("guard: {}: {}", path, done.error().message()));
    } else {
      ++uncounted_;
      found.clear();
    }
    return "";
  }
  auto store = open_store();
  auto done = store ? undo_into(*store) : Result<void>(Failure(store.error()));
  const bool stands = look_at(directory, name).has_value();
  const bool gone = store && !done && !stands && look_at(*store, kept);
  if (store && !done && !stands && !gone) {
    found.clear();  // somebody else took it away meanwhile: another sandbox's guard, mostly
    return "";
  }
  if (!done && !gone && (!before.exists || before.text)) {
    auto undone = undo_into(-1);
    if (undone || !look_at(directory, name)) {
      for (Finding& finding : found) finding.undone = true;
    }
    if (!undone) done = std::move(undone);
  }
  if (!done) complain(fmt::format("guard: {}: {}", path, done.error().message()));
  if (!done && !gone) return "";
  ++kept_;
  Record record{kept_, std::time(nullptr), path, found, now_in_ns(), in_ns(started_), {}};
  if (before.exists && before.text && S_ISREG(before.mode)) record.put_back = before.text;
  auto noted = append_record(*store, record);
  if (!noted) complain("guard: " + noted.error().message());
  stored_ += static_cast<std::uint64_t>(now.status.st_size);
  recorded_ += noted.value_or(0);
  return kept;
}

void Guard::undo(const Node& node, int directory, const std::string& name, const NameRule& rule,
                 const Before& before, const Entry& now, std::vector<Finding> found) {
  const bool told = spec_.mode == Mode::report || is_told(rule.what);
  const std::string kept = told ? "" : set_right(node, directory, name, rule, before, now, found);
  for (Finding& finding : found) {
    finding.path = full_name(node, name);
    finding.kept = kept;
    const bool again =
        kept.empty() && std::any_of(findings_.begin(), findings_.end(), [&](const Finding& f) {
          return f.path == finding.path && f.key == finding.key && f.after == finding.after &&
                 f.undone == finding.undone;
        });
    if (again) continue;
    if (findings_.size() >= kMaxFindings) {
      ++uncounted_;
      continue;
    }
    findings_.push_back(std::move(finding));
  }
}

/// The same is said once, and no end of others is: the sandbox chooses the names.
void Guard::complain(std::string text) {
  if (std::find(complaints_.begin(), complaints_.end(), text) != complaints_.end()) return;
  if (complaints_.size() == kMaxComplaints) text = "guard: more went wrong than is listed";
  if (complaints_.size() <= kMaxComplaints) complaints_.push_back(std::move(text));
}

/// What was there when the sandbox began, without what another one had put there; or what the user
/// has put back.
Before Guard::before_of(const std::string& path) const {
  const auto known = before_.find(path);
  return known == before_.end() ? Before{} : others_.correct(path, known->second);
}

Result<void> Guard::accept(const std::string& session, std::uint64_t number,
                           const std::string& path) {
  const bool watched =
      watching_ && std::any_of(spec_.trees.begin(), spec_.trees.end(),
                               [&](const auto& tree) { return path_is_beneath(path, tree); });
  if (!watched) return {};
  constexpr const char* kDoing = "keep what is put back";
  const std::string name = escape_for_terminal(path);
  const std::string store = path_join(path_parent(store_path_), session);
  const UniqueFd directory(::open(store.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (session.find('/') != session.npos || !directory.valid())
    return fail(kDoing, name, "it is in no quarantine that this session knows");
  const auto& globs = held_.globs();
  if (std::any_of(globs.begin(), globs.end(),
                  [&](const Glob& glob) { return !glob.find_in(path).empty(); }))
    return fail(kDoing, name, "a pattern of the profile forbids it there");
  auto entry = look_at(directory.get(), std::to_string(number));
  if (!entry) return fail(kDoing, name, "it is no longer in the quarantine");
  if (!entry->text)
    return fail(kDoing, name, fmt::format("it has more than {} KiB", kMaxKept >> 10));
  before_[path] = before_from(*entry);
  others_.accept(path);
  return {};
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
