#include "launcher/guard/indexes.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/guard/git_index.h"
#include "launcher/guard/guard.h"
#include "launcher/guard/names.h"

namespace dirbox::guard {
namespace {

/// So many times as long as reading an index took no other large one is read.
constexpr int kRest = 9;

bool is_shared(const std::string& name) { return !is_same_name("index", name); }

std::string format_of(std::string_view config) {
  std::string out = "sha1";
  if (const auto parsed = parse_git_config(config)) {
    for (const ConfigEntry& entry : parsed->entries) {
      if (entry.key == "extensions.objectformat") out = entry.value;
    }
  }
  return out;
}

/// Of the object ids of a repository, which its own configuration alone says.
std::size_t id_size_of(int directory, const Folder& folder) {
  const char* config = folder.kind == "worktree" ? "../../config" : "config";
  const UniqueFd file(::openat(directory, config, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  const auto text =
      file.valid() ? read_fd(file.get(), kMaxKept, config) : Result<std::string>(std::string());
  return text && format_of(*text) == "sha256" ? kSha256Size : kSha1Size;
}

bool read_at(int file, std::uint64_t offset, std::span<char> into) {
  while (!into.empty()) {
    const ssize_t n = ::pread(file, into.data(), into.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    into = into.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return true;
}

/// Whether a store through a mapping leaves a file's times as they are.
bool is_in_memory(int directory) {
  struct statfs system {};
  return ::fstatfs(directory, &system) != 0 || system.f_type == TMPFS_MAGIC;
}

}  // namespace

std::optional<std::string> judge_index(int file, int directory, const Folder& folder,
                                       const std::string& name) {
  struct stat status {};
  if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) return "no regular file";
  if (status.st_size == 0) return std::nullopt;
  const IndexBytes bytes{
      static_cast<std::uint64_t>(status.st_size),
      [file](std::uint64_t offset, std::span<char> into) { return read_at(file, offset, into); }};
  return find_index_danger(bytes, id_size_of(directory, folder), is_shared(name));
}

std::optional<std::string> judge_index(const std::string& text, int directory, const Folder& folder,
                                       const std::string& name) {
  if (text.empty()) return std::nullopt;  // git refuses it
  return find_index_danger(bytes_of_index(text), id_size_of(directory, folder), is_shared(name));
}

bool is_other_format(const Before& before, const Entry& now) {
  return before.exists && before.text && now.text && *before.text != *now.text &&
         format_of(*before.text) != format_of(*now.text);
}

Indexes::Verdict Indexes::judge(const std::string& path, const Entry& entry, int directory,
                                const Folder& folder, const std::string& name, bool ending) {
  if (entry.text) {
    auto danger = judge_index(*entry.text, directory, folder, name);
    if (!danger) note(path, entry);
    return {false, std::move(danger)};
  }
  const auto known = good_.find(path);
  if (!ending && known != good_.end() && known->second.inode == entry.status.st_ino &&
      known->second.changed == in_ns(entry.status.st_ctim)) {
    return {};
  }
  const auto begun = Clock::now();
  if (!ending && begun < rested_) return {true, std::nullopt};
  const UniqueFd file(
      ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return {};
  auto danger = file.valid() ? judge_index(file.get(), directory, folder, name)
                             : std::optional<std::string>("an index that cannot be read");
  const auto ended = Clock::now();
  rested_ = ended + kRest * (ended - begun);
  if (!danger) note(path, entry);
  return {false, std::move(danger)};
}

void Indexes::note(const std::string& path, const Entry& entry) {
  if (good_.size() >= kMost && !good_.contains(path)) return;
  Before& good = good_[path];
  const bool had_text = good.text.has_value();
  good = before_from(entry);
  // What is written to it in the same tick does not show.
  struct timespec now {};
  if (::clock_gettime(CLOCK_REALTIME, &now) != 0 || good.changed + kTick > in_ns(now))
    good.changed = 0;
  if (!had_text && good.text && texts_ >= kMostTexts) good.text.reset();
  if (good.text) texts_ += had_text ? 0 : 1;
  if (!good.text && had_text) --texts_;
}

Before Indexes::before_of(const std::string& path, const Before& start, int directory,
                          const Folder& folder, const std::string& name) const {
  const auto known = good_.find(path);
  const Before& last = known != good_.end() ? known->second : start;
  const bool usable = last.exists && last.text && S_ISREG(last.mode) &&
                      !judge_index(*last.text, directory, folder, name);
  return usable ? last : Before{};
}

/// What stood there at the start, or the user has put back, is left.
void Guard::look_at_index(const Node& node, int directory, const std::string& name,
                          const NameRule& rule, const Entry& entry) {
  const std::string path = full_name(node, name);
  const bool old = before_.contains(path) && !is_since(entry.status.st_ctim, started_);
  auto is_as_before = [&] {
    const Before before = before_of(path, entry);
    if (!before.exists || !S_ISREG(before.mode)) return false;
    return entry.text ? before.text == entry.text
                      : old && before.inode == entry.status.st_ino && !is_in_memory(directory);
  };
  if (is_as_before()) {
    // Or as another sandbox had planted it.
    if (!old) others_.look(in_ns(started_));
    if (old || is_as_before()) return;
  }
  auto [later, danger] = indexes_.judge(path, entry, directory, *node.folder, name, ending_);
  if (later) return silence_.put_off(path, node, name);
  if (!danger) {
    if (watch_file(node, directory, name)) look(node, directory, name);
    return;
  }
  const Before before =
      indexes_.before_of(path, before_of(path, entry), directory, *node.folder, name);
  Finding found{{}, {}, std::nullopt, std::move(*danger), rule.why, {}};
  if (!before.exists) found.why += "; git reset makes a new one";
  undo(node, directory, name, rule, before, entry, {std::move(found)});
}

}  // namespace dirbox::guard
