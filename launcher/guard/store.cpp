#include "launcher/guard/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "launcher/base/file.h"
#include "launcher/base/json.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox::guard {
namespace {

constexpr const char* kDoing = "restore from quarantine";
constexpr std::size_t kMaxRecords = 8 << 20;

std::string text_of(const Json& object, const char* key) {
  const Json* value = object.find(key);
  return value != nullptr && value->as_string() != nullptr ? *value->as_string() : "";
}

Json to_json(const Record& record) {
  JsonArray findings;
  for (const Finding& finding : record.findings) {
    Json item = JsonObject{{"key", finding.key}, {"after", finding.after}, {"why", finding.why}};
    if (finding.before) item.set("before", *finding.before);
    findings.push_back(std::move(item));
  }
  Json out = JsonObject{
      {"number", record.number},        {"time", record.time}, {"at", record.at},
      {"begun", record.begun},          {"path", record.path}, {"path_hex", to_hex(record.path)},
      {"findings", std::move(findings)}};
  if (record.put_back && record.put_back->size() <= kMostPutBack)
    out.set("put_back_hex", to_hex(*record.put_back));
  return out;
}

std::optional<Record> from_json(std::string_view line) {
  auto json = Json::parse(line);
  if (!json) return std::nullopt;
  const Json* number = json->find("number");
  const Json* time = json->find("time");
  const Json* findings = json->find("findings");
  if (number == nullptr || number->as_int() == nullptr || findings == nullptr ||
      findings->as_array() == nullptr) {
    return std::nullopt;
  }
  Record out;
  out.number = static_cast<std::uint64_t>(*number->as_int());
  if (time != nullptr && time->as_int() != nullptr) out.time = *time->as_int();
  for (const auto& [key, value] : {std::pair("at", &out.at), std::pair("begun", &out.begun)}) {
    const Json* found = json->find(key);
    if (found != nullptr && found->as_int() != nullptr) *value = *found->as_int();
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

UniqueFd open_plain(const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
}

/// A copy of `from` under a new name in `directory`, where a rename cannot bring it.
Result<void> copy_in(int store, const std::string& from, int directory, const std::string& name) {
  const auto entry = look_at(store, from);
  if (!entry) return fail_errno(kDoing, from, ENOENT);
  if (!entry->text) return fail(kDoing, from, "too large to be copied");
  if (S_ISLNK(entry->status.st_mode)) {
    if (::symlinkat(entry->text->c_str(), directory, name.c_str()) != 0)
      return fail_errno(kDoing, escape_for_terminal(name));
    return {};
  }
  UniqueFd file(::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                         entry->status.st_mode & 0777));
  if (!file.valid()) return fail_errno(kDoing, escape_for_terminal(name));
  return write_all(file.get(), *entry->text, name);
}

}  // namespace

std::string to_hex(std::string_view bytes) {
  std::string out;
  for (char c : bytes) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
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

Result<std::size_t> append_record(int store, const Record& record) {
  UniqueFd file(::openat(store, kRecords, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file.valid()) return fail_errno("record a quarantine", kRecords);
  const std::string line = to_json(record).dump() + "\n";
  TRY_VOID(write_all(file.get(), line, kRecords));
  return line.size();
}

Result<std::vector<Record>> read_records(const std::string& store) {
  auto read = read_file(path_join(store, kRecords), kMaxRecords);
  if (!read && read.error().err == ENOENT) return std::vector<Record>{};  // none was written
  const std::string text = TRY(std::move(read));
  std::vector<Record> out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (auto record = from_json(rest.substr(0, end))) out.push_back(std::move(*record));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

std::vector<std::string> list_stores(const std::string& state_directory) {
  const std::string directory = path_join(state_directory, kQuarantine);
  std::vector<std::pair<std::int64_t, std::string>> found;
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return {};
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

Result<void> restore_record(const std::string& store, const Record& record) {
  UniqueFd from(::open(store.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!from.valid()) return fail_errno(kDoing, escape_for_terminal(store));
  const std::string parent = path_parent(record.path), name(path_name(record.path));
  UniqueFd to = open_plain(parent);
  if (!to.valid()) return fail_errno(kDoing, escape_for_terminal(parent));
  const std::string kept = std::to_string(record.number);
  const std::string fresh = fmt::format(".{}.dirbox-{}", name, ::getpid());
  if (::renameat(from.get(), kept.c_str(), to.get(), fresh.c_str()) != 0) {
    if (errno != EXDEV)
      return fail_errno(kDoing, kept, errno, errno == ENOENT ? "it was restored before" : "");
    TRY_VOID(copy_in(from.get(), kept, to.get(), fresh));
    if (::unlinkat(from.get(), kept.c_str(), 0) != 0) return fail_errno(kDoing, kept);
  }
  if (::renameat2(to.get(), fresh.c_str(), to.get(), name.c_str(), RENAME_NOREPLACE) == 0)
    return {};
  if (errno != EEXIST) return fail_errno(kDoing, escape_for_terminal(record.path));
  if (::renameat2(to.get(), fresh.c_str(), to.get(), name.c_str(), RENAME_EXCHANGE) != 0)
    return fail_errno(kDoing, escape_for_terminal(record.path));
  const std::string replaced = kept + ".replaced";
  if (::renameat(to.get(), fresh.c_str(), from.get(), replaced.c_str()) == 0) return {};
  if (errno != EXDEV) return fail_errno(kDoing, replaced);
  TRY_VOID(copy_in(to.get(), fresh, from.get(), replaced));
  if (::unlinkat(to.get(), fresh.c_str(), 0) != 0) return fail_errno(kDoing, fresh);
  return {};
}

}  // namespace dirbox::guard
