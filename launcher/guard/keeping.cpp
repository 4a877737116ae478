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
namespace {

/// Bytes on the disk: a sandbox makes a file of any length from nothing.
std::uint64_t room_of(const Entry& entry) {
  constexpr std::uint64_t kBlock = 512;  // stat(2)
  return static_cast<std::uint64_t>(entry.status.st_blocks) * kBlock;
}

}  // namespace

/// Whether what is displaced is kept as well: it is of no use a thousand times. What was there
/// before, and cannot be put back, is the user's.
bool Guard::has_room_to_keep(const std::string& path, const Before& before,
                             const Entry& now) const {
  const std::uint64_t room = room_of(now);
  if (kept_ < kMostKept && recorder_.has_room() && room <= kMostOfOne &&
      stored_ + room <= kMostStored)
    return true;
  return before.exists && !before.text &&
         std::none_of(findings_.begin(), findings_.end(),
                      [&](const Finding& finding) { return finding.path == path; });
}

/// Undoes a change and keeps what it displaces. The sandbox can fill the disk: what finds no place
/// goes all the same, unless it is the user's and cannot be put back. Other sandboxes are told in
/// any case. Returns the name of what is kept, "" for nothing.
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
  auto fail_with = [&](const Error& error) {
    complain(fmt::format("guard: {}: {}", path, error.message()));
  };
  auto mark_undone = [&] {
    for (Finding& finding : found) finding.undone = true;
  };
  Record record = make_record(path, found, before, in_ns(started_));
  if (rule.what == What::index) record.put_back.reset();  // it is no text
  auto note = [&](int store) {
    record.at = now_in_ns();
    if (auto noted = recorder_.add(store, record); !noted)
      complain("guard: " + noted.error().message());
  };
  auto store = open_store();
  if (!has_room_to_keep(path, before, now)) {
    auto done = undo_into(-1);
    if (done) mark_undone();
    if (!done) fail_with(done.error());
    if (done && store) note(*store);
    return "";
  }
  auto done = store ? undo_into(*store) : Result<void>(Failure(store.error()));
  const bool stands = look_at(directory, name).has_value();
  const auto there = store ? look_at(*store, kept) : std::nullopt;
  const bool gone = !done && !stands && there;
  if (store && !done && !stands && !gone) {
    found.clear();  // somebody else took it away meanwhile: another sandbox's guard, mostly
    return "";
  }
  if (!done && !gone && (!before.exists || before.text)) {
    auto undone = undo_into(-1);
    if (undone || !look_at(directory, name)) mark_undone();
    if (undone && store) note(*store);
    if (!undone) done = std::move(undone);
  }
  if (!done) fail_with(done.error());
  if (!done && !gone) return "";
  if (there) {
    record.number = ++kept_;
    record.seal.mode = now.status.st_mode;
    if (now.text) record.seal.sha256 = sha256_hex(*now.text);
    if (!now.text) record.seal.changed = in_ns(there->status.st_ctim);
    stored_ += room_of(now);
  } else {
    mark_undone();
  }
  note(*store);
  return there ? kept : "";
}

void Guard::undo(const Node& node, int directory, const std::string& name, const NameRule& rule,
                 const Before& before, const Entry& now, std::vector<Finding> found) {
  const bool told = spec_.mode == Mode::report || is_told(rule.what);
  // What is removed is not at its end while it is held: to free the blocks of a file can take
  // seconds, in which nothing else would be undone.
  UniqueFd held;
  if (!told && !closer_.full())
    held.reset(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  const std::string kept = told ? "" : set_right(node, directory, name, rule, before, now, found);
  closer_.take(std::move(held));
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
Before Guard::before_of(const std::string& path, const Entry& now) {
  const auto known = before_.find(path);
  return known == before_.end() ? Before{} : others_.correct(path, known->second, now);
}

Result<void> Guard::accept(const PutBack& what) {
  const std::string& path = what.path;
  const bool watched =
      watching_ && std::any_of(spec_.trees.begin(), spec_.trees.end(),
                               [&](const auto& tree) { return path_is_beneath(path, tree); });
  if (!watched) return {};
  const auto known = before_.find(path);
  std::optional<Before> before;
  if (known != before_.end()) before = known->second;
  if (what.step == PutBack::Step::withdraw) {
    before = others_.withdraw(path, std::move(before));
    before_.erase(path);
    if (before) before_[path] = std::move(*before);
    return {};
  }
  constexpr const char* kDoing = "keep what is put back";
  const std::string name = escape_for_terminal(path);
  if (spec_.foreign_state)
    return fail(kDoing, name, "the quarantine is in the work tree, where anybody may write");
  const std::string store = path_join(path_parent(store_path_), what.session);
  const UniqueFd directory(::open(store.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (what.session.find('/') != std::string::npos || !directory.valid())
    return fail(kDoing, name, "it is in no quarantine that this session knows");
  const auto& globs = held_.globs();
  if (std::any_of(globs.begin(), globs.end(),
                  [&](const Glob& glob) { return !glob.find_in(path).empty(); }))
    return fail(kDoing, name, "a pattern of the profile forbids it there");
  Entry entry = TRY(open_sealed(directory.get(), what.number, what.seal));
  if (!entry.text)
    return fail(kDoing, name, fmt::format("it has more than {} KiB", kMaxKept >> 10));
  if (what.step == PutBack::Step::ask) {
    others_.forget_replaced(path);
    return {};
  }
  others_.accept(path, std::move(before));
  Before& now = before_[path] = before_from(entry);
  if (what.seal.mode != 0) now.mode = what.seal.mode;
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
