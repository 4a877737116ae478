#include "launcher/guard/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "launcher/base/file.h"
#include "launcher/base/json.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/guard/file_time.h"
#include "launcher/guard/others.h"

namespace dirbox::guard {
namespace {

constexpr const char* kDoing = "restore from quarantine";
constexpr std::size_t kMaxRecords = 8 << 20;  // bytes: kMostBrief, one more, and what sync adds

std::string text_of(const Json& object, const char* key) {
  const Json* value = object.find(key);
  return value != nullptr && value->as_string() != nullptr ? *value->as_string() : "";
}
std::int64_t number_of(const Json& object, const char* key) {
  const Json* value = object.find(key);
  return value != nullptr && value->as_int() != nullptr ? *value->as_int() : 0;
}

Json to_json(const Record& record) {
  JsonArray findings, entries;
  for (const Finding& finding : record.findings) {
    if (findings.size() == kMostListed) break;
    Json item = JsonObject{{"key", shortened(finding.key, kMostSaid)},
                           {"after", shortened(finding.after, kMostSaid)},
                           {"why", finding.why}};
    if (finding.before) item.set("before", shortened(*finding.before, kMostSaid));
    findings.push_back(std::move(item));
  }
  const std::size_t more = record.findings.size() - findings.size();
  for (const std::string& entry : record.entries) entries.push_back(entry);
  Json out = JsonObject{
      {"number", record.number},        {"time", record.time}, {"at", record.at},
      {"begun", record.begun},          {"path", record.path}, {"path_hex", to_hex(record.path)},
      {"findings", std::move(findings)}};
  if (record.put_back && record.put_back->size() <= kMostPutBack)
    out.set("put_back_hex", to_hex(*record.put_back));
  out.set("put_back_hash", record.put_back_hash);
  out.set("put_back_mode", record.put_back_mode);
  out.set("more", std::uint64_t{more});
  out.set("entries", std::move(entries));
  out.set("sha256", record.seal.sha256);
  out.set("changed", record.seal.changed);
  out.set("mode", record.seal.mode);
  return out;
}

std::optional<Record> from_json(std::string_view line) {
  auto json = Json::parse(line);
  if (!json) return std::nullopt;
  const Json* number = json->find("number");
  const Json* findings = json->find("findings");
  if (number == nullptr || number->as_int() == nullptr || findings == nullptr ||
      findings->as_array() == nullptr) {
    return std::nullopt;
  }
  Record out;
  out.number = static_cast<std::uint64_t>(*number->as_int());
  out.time = number_of(*json, "time");
  out.at = number_of(*json, "at");
  out.begun = number_of(*json, "begun");
  out.more = static_cast<std::size_t>(number_of(*json, "more"));
  out.put_back_hash = text_of(*json, "put_back_hash");
  out.put_back_mode = static_cast<unsigned>(number_of(*json, "put_back_mode"));
  out.seal = {text_of(*json, "sha256"), number_of(*json, "changed"),
              static_cast<unsigned>(number_of(*json, "mode"))};
  if (const Json* entries = json->find("entries"); entries != nullptr && entries->as_array()) {
    for (const Json& entry : *entries->as_array())
      if (entry.as_string() != nullptr) out.entries.insert(*entry.as_string());
  }
  out.path = from_hex(text_of(*json, "path_hex"));
  if (json->find("put_back_hex") != nullptr)
    out.put_back = from_hex(text_of(*json, "put_back_hex"));
  for (const Json& item : *findings->as_array()) {
    Finding finding{out.path,
                    text_of(item, "key"),
                    std::nullopt,
                    text_of(item, "after"),
                    text_of(item, "why"),
                    std::to_string(out.number)};
    if (item.find("before") != nullptr) finding.before = text_of(item, "before");
    out.findings.push_back(std::move(finding));
  }
  return out;
}

/// A copy of `entry` under a new name in `directory`.
Result<void> make_copy(const Entry& entry, unsigned mode, int directory, const std::string& name) {
  if (!entry.text) return fail(kDoing, escape_for_terminal(name), "too large to be copied");
  if (S_ISLNK(entry.status.st_mode)) {
    if (::symlinkat(entry.text->c_str(), directory, name.c_str()) != 0)
      return fail_errno(kDoing, escape_for_terminal(name));
    return {};
  }
  UniqueFd file(::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno(kDoing, escape_for_terminal(name));
  auto done = write_all(file.get(), *entry.text, name);
  if (done && ::fchmod(file.get(), mode & 0777) != 0)
    done = fail_errno(kDoing, escape_for_terminal(name));
  if (!done) ::unlinkat(directory, name.c_str(), 0);
  return done;
}

/// What is `fresh` in a directory, and in the store as `kept` if it is a copy, to its place `name`;
/// what stands there, into the store.
Result<void> exchange(int directory, const std::string& fresh, const std::string& name, int store,
                      const std::string& kept) {
  auto fail_before = [&](int err) {
    if (::renameat(directory, fresh.c_str(), store, kept.c_str()) != 0)
      ::unlinkat(directory, fresh.c_str(), 0);
    return fail_errno(kDoing, escape_for_terminal(name), err);
  };
  const std::string replaced = kept + ".replaced";
  if (::renameat2(directory, fresh.c_str(), directory, name.c_str(), RENAME_NOREPLACE) == 0)
    return {};
  if (errno != EEXIST) return fail_before(errno);
  if (::renameat2(directory, fresh.c_str(), directory, name.c_str(), RENAME_EXCHANGE) != 0)
    return fail_before(errno);
  if (::renameat(directory, fresh.c_str(), store, replaced.c_str()) == 0) return {};
  int err = errno;
  if (const auto entry = look_at(directory, fresh); err == EXDEV && entry) {
    auto copied = make_copy(*entry, entry->status.st_mode, store, replaced);
    if (copied && ::unlinkat(directory, fresh.c_str(), 0) == 0) return {};
    err = copied ? errno : copied.error().err != 0 ? copied.error().err : EXDEV;
    ::unlinkat(store, replaced.c_str(), 0);
  }
  // As it was: the caller tells the sandboxes that run here that nothing was put back.
  if (::renameat2(directory, fresh.c_str(), directory, name.c_str(), RENAME_EXCHANGE) != 0)
    return fail_errno(kDoing, escape_for_terminal(name));
  return fail_before(err);
}

}  // namespace

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes.size());
  for (char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += {kDigits[byte >> 4], kDigits[byte & 0xf]};
  }
  return out;
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
    unsigned byte = 0;
    for (char c : hex.substr(at, 2)) byte = byte * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
    out += static_cast<char>(byte);
  }
  return out;
}

Record make_record(const std::string& path, const std::vector<Finding>& findings,
                   const Before& before, std::int64_t begun) {
  Record out{0, std::time(nullptr), path, findings, now_in_ns(), begun};
  for (const Finding& finding : findings)
    if (!finding.key.empty()) out.entries.insert(entry_id(finding.key, finding.after));
  if (!before.exists) return out;
  out.put_back_mode = before.mode;
  out.put_back = before.text;
  if (before.text) out.put_back_hash = sha256_hex(*before.text);
  return out;
}

Result<std::size_t> append_record(int store, const Record& record) {
  UniqueFd file(::openat(store, kRecords, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0)
    return fail_errno("record a quarantine", kRecords);
  const std::string line = to_json(record).dump() + "\n";
  if (auto written = write_all(file.get(), line, kRecords); !written) {
    // Half a line would spoil the next one.
    if (::ftruncate(file.get(), status.st_size) != 0)
      return fail_errno("record a quarantine", kRecords);
    return Failure(written.error());
  }
  return line.size();
}

Result<void> Recorder::add(int store, Record record) {
  Result<std::size_t> written = 0;
  if (!stopped_ && size_ < kMostBrief) {
    if (!has_room()) record.put_back.reset();
    written = append_record(store, record);
    size_ += written.value_or(0);
    if (written) return {};
  }
  UniqueFd file(::openat(store, kRecords, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid() || ::fchmod(file.get(), kStopped) != 0 || ::futimens(file.get(), nullptr) != 0)
    return fail_errno("record a quarantine", kRecords);
  stopped_ = true;
  if (!written) return Failure(written.error());
  return {};
}

Result<Records> read_records(const std::string& store, std::size_t from) {
  constexpr const char* kReading = "read what was quarantined";
  const std::string path = path_join(store, kRecords);
  Records out{{}, from};
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return out;  // none was written
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0 ||
      ::lseek(file.get(), static_cast<off_t>(from), SEEK_SET) < 0)
    return fail_errno(kReading, escape_for_terminal(path));
  if (!S_ISREG(status.st_mode)) return fail(kReading, escape_for_terminal(path), "no regular file");
  const std::string text = TRY(read_fd(file.get(), kMaxRecords, path));
  std::string_view rest = text;
  for (std::size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
    auto record = from_json(rest.substr(0, end));
    out.whole &= record.has_value();
    out.end += end + 1;
    if (record) out.list.push_back(std::move(*record));
  }
  return out;
}

std::string store_path(const std::string& state_directory, const std::string& session) {
  if (state_directory.empty()) return {};
  return path_join(path_join(state_directory, kQuarantine), session);
}

Result<std::vector<std::string>> list_stores(const std::string& state_directory) {
  const std::string directory = path_join(state_directory, kQuarantine);
  std::vector<std::pair<std::int64_t, std::string>> found;
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return std::vector<std::string>();
  if (!fd.valid()) return fail_errno("list the quarantine", escape_for_terminal(directory));
  for (const auto& [name, is_directory] : list_entries(fd.get(), SIZE_MAX).entries) {
    struct stat status {};
    if (is_directory && ::fstatat(fd.get(), name.c_str(), &status, 0) == 0)
      found.emplace_back(status.st_mtim.tv_sec * 1000'000'000 + status.st_mtim.tv_nsec, name);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> out;
  out.reserve(found.size());
  for (auto& [time, name] : found) out.push_back(std::move(name));
  return out;
}

Result<Entry> open_sealed(int store, std::uint64_t number, const Seal& seal) {
  const std::string kept = std::to_string(number);
  auto entry = look_at(store, kept);
  if (!entry) return fail_errno(kDoing, kept, ENOENT, "it was restored before, or it was not kept");
  const bool same = seal.sha256.empty()
                        ? seal.changed == 0 || seal.changed == in_ns(entry->status.st_ctim)
                        : entry->text && sha256_hex(*entry->text) == seal.sha256;
  if (!same || (seal.mode != 0 && (seal.mode & S_IFMT) != (entry->status.st_mode & S_IFMT)))
    return fail(kDoing, kept, "it was changed after it was quarantined",
                "look at that file in the quarantine, and copy it by hand");
  return std::move(*entry);
}

bool is_kept(const std::string& store, const Record& record) {
  struct stat status {};
  return record.number != 0 &&
         ::lstat(path_join(store, std::to_string(record.number)).c_str(), &status) == 0;
}

Result<void> restore_record(const std::string& store, const Record& record) {
  UniqueFd from(::open(store.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!from.valid()) return fail_errno(kDoing, escape_for_terminal(store));
  const std::string parent = path_parent(record.path), name(path_name(record.path));
  UniqueFd to = open_straight(parent, O_RDONLY | O_DIRECTORY);
  if (!to.valid()) return fail_errno(kDoing, escape_for_terminal(parent));
  const Entry entry = TRY(open_sealed(from.get(), record.number, record.seal));
  const std::string kept = std::to_string(record.number);
  const std::string fresh = temporary_name(name);
  if (entry.text) {
    const unsigned mode = record.seal.mode != 0 ? record.seal.mode : entry.status.st_mode;
    TRY_VOID(make_copy(entry, mode, to.get(), fresh));
  } else if (::renameat(from.get(), kept.c_str(), to.get(), fresh.c_str()) != 0) {
    return fail_errno(kDoing, kept, errno, errno == EXDEV ? "it is too large to be copied" : "");
  }
  if (auto done = exchange(to.get(), fresh, name, from.get(), kept); !done) return done;
  if (entry.text && ::unlinkat(from.get(), kept.c_str(), 0) != 0) return fail_errno(kDoing, kept);
  return {};
}

}  // namespace dirbox::guard
