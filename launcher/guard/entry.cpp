#include "launcher/guard/entry.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "launcher/base/file.h"
#include "launcher/base/text.h"
#include "launcher/guard/git_config.h"
#include "launcher/guard/git_join.h"
#include "launcher/guard/nodes.h"
#include "launcher/guard/swarm.h"

namespace dirbox::guard {
namespace {

constexpr const char* kDoing = "quarantine";
constexpr mode_t kExecute = S_IXUSR | S_IXGRP | S_IXOTH;
constexpr int kRounds = 16;   // of a race with somebody who goes on changing the entry
constexpr int kPatience = 4;  // of them, those in which his last change is taken up

bool is_there(int directory, const char* name, mode_t type) {
  struct stat status {};
  return ::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         (status.st_mode & S_IFMT) == type;
}

std::optional<std::string> read_link(int directory, const std::string& name) {
  char target[4096];
  const ssize_t size = ::readlinkat(directory, name.c_str(), target, sizeof target);
  if (size < 0) return std::nullopt;
  return std::string(target, static_cast<std::size_t>(size));
}

/// The text of the file itself; nullopt when it is larger, or became something else.
std::optional<std::string> read_small(int directory, const std::string& name) {
  UniqueFd fd(
      ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return std::nullopt;
  auto text = read_fd(fd.get(), kMaxKept, name);
  if (!text) return std::nullopt;
  return std::move(*text);
}

std::string describe(const Entry& entry) {
  if (S_ISLNK(entry.status.st_mode)) return "a symlink to " + entry.text.value_or("something");
  if (!S_ISREG(entry.status.st_mode)) return "no regular file";
  return fmt::format("{} bytes", entry.status.st_size);
}

/// What is too large to be compared is the same file, unchanged: its ctime is the kernel's.
bool has_same_text(const Before& before, const Entry& now) {
  if (!before.exists || (before.mode & S_IFMT) != (now.status.st_mode & S_IFMT)) return false;
  if (before.text) return now.text && *before.text == *now.text;
  return before.inode == now.status.st_ino && before.changed == in_ns(now.status.st_ctim);
}

/// A hook that was there, and that git passed over because nobody may execute it, is none yet.
bool becomes_executable(const Before& before, const Entry& now) {
  return (before.mode & kExecute) == 0 && (now.status.st_mode & kExecute) != 0;
}

Result<void> make_file(int directory, const std::string& name, const std::string& text,
                       unsigned mode) {
  UniqueFd fd(::openat(directory, name.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid() && errno == EEXIST && ::unlinkat(directory, name.c_str(), 0) == 0) {
    fd.reset(::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      0600));
  }
  if (!fd.valid()) return fail_errno(kDoing, name);
  TRY_VOID(write_all(fd.get(), text, name));
  if (::fchmod(fd.get(), mode & 0777) != 0) return fail_errno(kDoing, name);
  return {};
}

/// A git that changes a configuration reads it when it has the lock, which may have been before the
/// last exchange, and would write what it read. It is waited for, but not longer than a plant
/// elsewhere may stay: anybody can make that file.
std::optional<Entry> look_at_unlocked(int directory, const std::string& name) {
  constexpr int kLooks = 5;
  constexpr timespec kPause{0, 1'000'000};
  struct stat lock {};
  for (int i = 0; i < kLooks; ++i) {
    if (::fstatat(directory, (name + ".lock").c_str(), &lock, AT_SYMLINK_NOFOLLOW) != 0) break;
    ::nanosleep(&kPause, nullptr);
  }
  return look_at(directory, name);
}

/// What shall stand in place of `now`; nullopt: nothing.
struct Wanted {
  std::string text;
  unsigned mode = 0;
};
std::optional<Wanted> decide_wanted(const NameRule& rule, const Before& before, const Entry& now,
                                    const Inside& inside) {
  const bool both_files = S_ISREG(now.status.st_mode) && now.text;
  if (rule.what == What::config && both_files) {
    const std::string old = before.exists ? before.text.value_or("") : "";
    if (auto cleaned = clean_git_config(old, *now.text, inside))
      return Wanted{cleaned->text, now.status.st_mode};
  }
  if (before.exists && before.text) return Wanted{*before.text, before.mode};
  return std::nullopt;
}

Result<void> put_wanted(int directory, const std::string& name, const Wanted& wanted) {
  if (!S_ISLNK(wanted.mode)) return make_file(directory, name, wanted.text, wanted.mode);
  if (::symlinkat(wanted.text.c_str(), directory, name.c_str()) != 0)
    return fail_errno(kDoing, name);
  return {};
}

/// Moves `name` out of `directory` into the store; a copy, where that is on another file system.
/// What is too large for one stays.
Result<void> keep(int directory, const std::string& name, int store, const std::string& kept) {
  if (store < 0) {
    if (::unlinkat(directory, name.c_str(), 0) != 0) return fail_errno(kDoing, name);
    return {};
  }
  if (::renameat(directory, name.c_str(), store, kept.c_str()) == 0) return {};
  if (errno != EXDEV) return fail_errno(kDoing, name);
  const auto entry = look_at(directory, name);
  if (!entry || !entry->text) return fail_errno(kDoing, name, EXDEV);
  const bool is_link = S_ISLNK(entry->status.st_mode);
  auto copied = put_wanted(store, kept, {*entry->text, is_link ? entry->status.st_mode : 0600});
  if (copied && ::unlinkat(directory, name.c_str(), 0) != 0) copied = fail_errno(kDoing, name);
  if (!copied) ::unlinkat(store, kept.c_str(), 0);
  return copied;
}

}  // namespace

std::string temporary_name(const std::string& name) {
  return fmt::format(".{}.dirbox-{}", name, ::getpid());
}

bool is_temporary_name(std::string_view name) {
  return name.starts_with('.') && name.find(".dirbox-", 1) != name.npos;
}

Before before_from(const Entry& entry) {
  return {true, entry.text, entry.status.st_mode, entry.status.st_ino, in_ns(entry.status.st_ctim)};
}

Listing list_entries(int directory, std::size_t most, const Folder* knowing) {
  Listing out;
  std::size_t count = 0;
  for_each_entry(directory, [&](const char* name, unsigned char kind) {
    out.whole = count++ < most;
    if (!out.whole) return false;
    const bool is_directory =
        kind == DT_UNKNOWN ? is_there(directory, name, S_IFDIR) : kind == DT_DIR;
    const bool may_be_link = kind == DT_LNK || kind == DT_UNKNOWN;
    if (is_directory || knowing == nullptr || knowing->may_know(name) ||
        (knowing->no_links && may_be_link))
      out.entries.emplace_back(name, is_directory);
    return true;
  });
  return out;
}

bool is_git_directory(int directory) {
  auto has = [&](const char* name) {
    struct stat status {};
    return ::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
  };
  return has("HEAD") && (has("commondir") || (has("objects") && has("refs")));
}

UniqueFd open_straight(const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
}

std::optional<Entry> look_at(int directory, const std::string& name) {
  Entry out;
  if (::fstatat(directory, name.c_str(), &out.status, AT_SYMLINK_NOFOLLOW) != 0)
    return std::nullopt;
  if (S_ISLNK(out.status.st_mode)) out.text = read_link(directory, name);
  if (S_ISREG(out.status.st_mode)) out.text = read_small(directory, name);
  return out;
}

std::vector<Finding> judge_entry(const NameRule& rule, const Before& before, const Entry& now,
                                 const Inside& inside, const Follow& follow) {
  const bool same = has_same_text(before, now);
  if ((same && !becomes_executable(before, now)) || S_ISDIR(now.status.st_mode)) return {};
  const bool file = S_ISREG(now.status.st_mode);
  if (file && now.status.st_size == 0) return {};  // says nothing; looked at again when it does
  if (file && is_told(rule.what)) return judge_swarm(rule, before, now, follow);
  const Finding whole{{}, {}, std::nullopt, same ? "made executable" : describe(now), rule.why, {}};
  if (!file || !now.text || rule.what == What::whole) return {whole};
  if (rule.what != What::config)
    return follow(rule.what, *now.text) ? std::vector<Finding>{} : std::vector<Finding>{whole};
  const std::string old = before.exists ? before.text.value_or("") : "";
  auto cleaned = clean_git_config(old, *now.text, inside);
  if (!cleaned) {
    Finding odd = whole;
    odd.why = "not a configuration that git can read: " + cleaned.error().detail;
    return {odd};
  }
  std::vector<Finding> out;
  for (const ConfigChange& change : cleaned->changes)
    out.push_back({{}, change.key, change.before, change.after, change.why, {}});
  return out;
}

Result<void> undo_entry(int directory, const std::string& name, const NameRule& rule,
                        const Before& before, const Entry& judged, const Inside& inside, int store,
                        const std::string& kept) {
  Entry now = judged;
  std::optional<std::string> expected = judged.text;  // of what stands at the name
  std::string added;  // what others wrote just before an exchange, and the next did not know
  const std::string temporary = temporary_name(name);
  // The first that is displaced is what was judged, or made from it.
  auto set_aside = [&](const std::string& entry) {
    return keep(directory, entry, std::exchange(store, -1), kept);
  };
  for (int round = 0; round < kRounds; ++round) {
    if (now.text && !added.empty()) now.text = add_entries(std::move(*now.text), "", added);
    const auto wanted = decide_wanted(rule, before, now, inside);
    if (!wanted) return set_aside(name);
    if (auto done = put_wanted(directory, temporary, *wanted); !done) {
      // No room, or no right: then at least what is dangerous goes, beside its name where there is
      // no store, since it may hold more than that.
      ::unlinkat(directory, temporary.c_str(), 0);
      if (store >= 0) {
        TRY_VOID(set_aside(name));
      } else if (::renameat(directory, name.c_str(), directory, temporary.c_str()) != 0) {
        return fail_errno(kDoing, name);
      } else {
        done.error().detail = "it is in " + temporary;
      }
      return done;
    }
    // Somebody may replace the file at any time, as git does to change it. Before the exchange
    // nobody has seen what would take its place, so nothing of theirs is lost. Who does it without
    // end is not waited for.
    if (rule.what == What::config && round < kPatience) {
      auto fresh = look_at(directory, name);
      if (fresh && fresh->text != expected) {
        expected = fresh->text;
        now = std::move(*fresh);
        if (::unlinkat(directory, temporary.c_str(), 0) != 0) return fail_errno(kDoing, temporary);
        continue;
      }
    }
    if (::renameat2(directory, temporary.c_str(), directory, name.c_str(), RENAME_EXCHANGE) != 0) {
      const int err = errno;
      ::unlinkat(directory, temporary.c_str(), 0);
      if (err == ENOENT) return {};  // gone meanwhile
      return fail_errno(kDoing, name, err);
    }
    auto displaced = look_at(directory, temporary);
    if (!displaced) return {};
    const bool same = displaced->text == expected &&
                      (displaced->status.st_mode & S_IFMT) == (now.status.st_mode & S_IFMT);
    TRY_VOID(set_aside(temporary));
    if (rule.what != What::config || (same && added.empty())) return {};
    if (same) {
      auto fresh = look_at_unlocked(directory, name);
      if (!fresh || !fresh->text || add_entries(*fresh->text, "", added) == *fresh->text) return {};
      expected = fresh->text;
      now = std::move(*fresh);
      continue;
    }
    // Replaced just before the exchange: theirs goes back, cleaned too. Whoever writes next may
    // have read what the exchange left, without it.
    if (displaced->text)
      added = add_entries(std::move(added), expected.value_or(""), *displaced->text);
    expected = wanted->text;
    now = std::move(*displaced);
  }
  return fail(kDoing, name, "it changes faster than it can be cleaned");
}

}  // namespace dirbox::guard
