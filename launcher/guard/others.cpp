#include "launcher/guard/others.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/guard/file_time.h"

namespace dirbox::guard {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;  // ns

}  // namespace

void Others::look(std::int64_t begun) {
  if (store_.empty()) return;
  begun_ = begun;
  const std::string root = path_parent(store_);
  const auto sessions = list_stores(path_parent(root));
  if (!sessions) return;  // where nothing can be listed nothing can be compared with
  for (const std::string& session : *sessions) {
    const std::string theirs = path_join(root, session);
    struct stat status {};
    if (theirs == store_ || ::stat(path_join(theirs, kRecords).c_str(), &status) != 0 ||
        status.st_mtim.tv_sec < begun / kSecond) {
      continue;
    }
    Read& read = read_[session];
    const auto size = static_cast<std::size_t>(status.st_size);
    const bool stopped = (status.st_mode & 0777) == Recorder::kStopped;
    if (size == read.end && stopped == read.stopped) continue;
    auto records = read_records(theirs, read.end);
    const std::int64_t now = now_in_ns();
    if (records) {
      for (const Record& record : records->list) {
        if (record.begun != 0) read.begun = record.begun;
        note(record, now);
      }
    }
    read.end = records ? records->end : size;
    read.stopped = stopped;
    if ((!records || !records->whole || stopped) && read.begun < begun)
      blind_since_ = std::min(blind_since_.value_or(INT64_MAX), read.begun);
  }
}

void Others::note(const Record& record, std::int64_t now) {
  // A time to come is forged, or it was another clock's.
  if (record.at < begun_ || record.at > now || record.begun >= begun_) return;
  const auto accepted = accepted_.find(record.path);
  if (accepted != accepted_.end() && record.at <= accepted->second) return;
  Distrusted& known = distrusted_[record.path];
  for (const Finding& finding : record.findings) known.whole |= finding.key.empty();
  known.entries.insert(record.entries.begin(), record.entries.end());
  if (record.put_back_mode == 0) return;
  known.mode = record.put_back_mode;
  if (record.put_back) {
    known.instead = record.put_back;
  } else if (record.put_back_hash != known.hash) {
    known.instead.reset();
  }
  known.hash = record.put_back_hash;
}

Before Others::correct(const std::string& path, const Before& before, const Entry& now) {
  const auto found = distrusted_.find(path);
  if (found != distrusted_.end() && found->second.whole)
    return correct_whole(found->second, before, now);
  Before out = before;
  if (found != distrusted_.end() && found->second.instead && out.text) {
    // With the values that come back: those are the user's.
    if (auto cleaned = clean_git_config(*found->second.instead, *out.text)) {
      out.text = std::move(cleaned->text);
      return out;
    }
  }
  if (blind_since_ && !accepted_.contains(path) && before.exists &&
      before.changed >= *blind_since_ && in_ns(now.status.st_ctim) >= begun_) {
    return {};
  }
  if (found != distrusted_.end() && out.text)
    out.text = without_entries(*out.text, found->second.entries);
  return out;
}

Before Others::correct_whole(Distrusted& theirs, const Before& before, const Entry& now) const {
  if (theirs.mode == 0) return {};
  auto is_theirs = [&](const std::optional<std::string>& text) {
    return text && !theirs.hash.empty() && sha256_hex(*text) == theirs.hash;
  };
  if (!theirs.instead && is_theirs(before.text)) theirs.instead = before.text;
  if (!theirs.instead && is_theirs(now.text)) theirs.instead = now.text;
  return {true, theirs.instead, theirs.mode};
}

void Others::forget_replaced(const std::string& path) { replaced_.erase(path); }

void Others::accept(const std::string& path, std::optional<Before> before) {
  Accepted& replaced = replaced_[path];
  replaced = {std::move(before), std::nullopt, accepted_[path]};
  if (auto known = distrusted_.extract(path)) replaced.distrusted = std::move(known.mapped());
  accepted_[path] = now_in_ns();
}

std::optional<Before> Others::withdraw(const std::string& path, std::optional<Before> now) {
  auto replaced = replaced_.extract(path);
  if (!replaced) return now;
  auto& [before, distrusted, earlier] = replaced.mapped();
  accepted_[path] = earlier;
  if (earlier == 0) accepted_.erase(path);
  if (distrusted) distrusted_[path] = std::move(*distrusted);
  return std::move(before);
}

}  // namespace dirbox::guard
