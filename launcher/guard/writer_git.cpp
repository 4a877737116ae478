#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/guard/answers.h"
#include "launcher/guard/entry.h"
#include "launcher/guard/indexes.h"
#include "launcher/guard/names.h"
#include "launcher/guard/submodule.h"
#include "launcher/guard/writer.h"

// What the writer knows of git: its configuration, and what makes a git directory of another.

namespace dirbox::guard {
namespace {

bool has(int directory, const char* name) {
  struct stat status {};
  return ::fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/// A symlink in the directory `name` or beneath it, where git makes none; or so many names that one
/// may be.
bool may_have_link(int at, const std::string& name, std::size_t& most) {
  const UniqueFd directory(
      ::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory.valid()) return true;
  const Listing names = list_entries(directory.get(), most);
  most -= std::min(most, names.entries.size());
  if (!names.whole) return true;
  return std::any_of(names.entries.begin(), names.entries.end(), [&](const auto& entry) {
    const auto& [child, is_directory] = entry;
    char target[1];
    return is_directory ? may_have_link(directory.get(), child, most)
                        : ::readlinkat(directory.get(), child.c_str(), target, sizeof target) >= 0;
  });
}

/// Or a half of one.
bool has_index(int directory) {
  const UniqueFd names(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Listing listing =
      names.valid() ? list_entries(names.get(), Writer::kMostLooked) : Listing{{}, false};
  return !listing.whole ||
         std::any_of(listing.entries.begin(), listing.entries.end(), [](const auto& entry) {
           const NameRule* rule = find_name(git_folder(), entry.first);
           return rule != nullptr && rule->what == What::index;
         });
}

}  // namespace

/// What a file would do as what `at` stands for; nullopt: nothing.
std::optional<std::string> Writer::find_danger(const Entry& entry, const NameRule& rule,
                                               const std::string& before, const Place& at) const {
  if (!S_ISREG(entry.status.st_mode) || !entry.text) return rule.why;
  const Inside inside = [&](std::string_view worktree) {
    const std::string path = path_normalize(path_join(at.parent, worktree));
    const std::string* tree = places_.tree_of(path);
    return tree != nullptr && !places_.leads_beneath(path) &&
           is_submodule_tree(at.parent, path, *tree);
  };
  const Before was{true, before, S_IFREG};
  const auto found =
      judge_entry(rule, was, entry, inside, [](What, const std::string&) { return false; });
  if (found.empty()) return std::nullopt;
  const Finding& first = found.front();
  return first.key.empty() ? first.why
                           : fmt::format("{} = {}: {}", first.key, first.after, first.why);
}

/// Puts what was read, and judged, in the place of what is at `to`, by rename(2): the file that it
/// was read from may be written to meanwhile. `own`: as if nothing had been there.
bool Writer::put_over(const Entry& entry, const Place& to, bool own, int& err) {
  const std::string temporary = temporary_name(to.name);
  const int directory = to.directory.get();
  auto give_up = [&] {
    err = errno;
    ::unlinkat(directory, temporary.c_str(), 0);
    return false;
  };
  UniqueFd file(::openat(directory, temporary.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return give_up();
  if (auto done = write_all(file.get(), *entry.text, temporary); !done) {
    errno = done.error().err;
    return give_up();
  }
  if (::fchmod(file.get(), entry.status.st_mode & 0777) != 0) return give_up();
  struct stat status {};
  const auto replaced = look_at(directory, to.name);
  own |= !replaced || made_.contains({replaced->status.st_dev, replaced->status.st_ino});
  if (::fstat(file.get(), &status) != 0 ||
      ::renameat(directory, temporary.c_str(), directory, to.name.c_str()) != 0) {
    return give_up();
  }
  if (replaced) made_.erase({replaced->status.st_dev, replaced->status.st_ino});
  if (own) made_.insert({status.st_dev, status.st_ino});
  return true;
}

/// HEAD, objects and refs make a git directory of any other: then what it has been given before,
/// when nothing in it was guarded, is looked at.
std::optional<Answer> Writer::refuse_git(const Seen& seen) {
  const Place& place = seen.place;
  const int directory = place.directory.get();
  if (!place.folder->open || seen.exists) return std::nullopt;
  auto would_have = [&](const char* name) {
    return is_same_name(name, place.name) || has(directory, name);
  };
  constexpr const char* kNames[] = {"HEAD", "objects", "refs", "commondir"};
  const bool named = std::any_of(std::begin(kNames), std::end(kNames),
                                 [&](const char* name) { return is_same_name(name, place.name); });
  if (!named || !would_have("HEAD") ||
      !(would_have("commondir") || (would_have("objects") && would_have("refs")))) {
    return std::nullopt;
  }
  if (has_index(directory) || would_have("commondir") || has(directory, "config.worktree") ||
      has(directory, "worktrees") || has(directory, "modules")) {
    return guarded(place, "it would make a git directory with what is guarded in one");
  }
  if (has(directory, "hooks")) {
    UniqueFd hooks(::openat(directory, "hooks", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    const Listing names =
        hooks.valid() ? list_entries(hooks.get(), Writer::kMostHooks) : Listing{{}, false};
    const bool samples = std::all_of(
        names.entries.begin(), names.entries.end(),
        [](const auto& entry) { return find_name(hooks_folder(), entry.first) == nullptr; });
    if (!samples || !names.whole) return guarded(place, "it would make a git directory with hooks");
  }
  std::size_t most = Writer::kMostLooked;
  if (may_have_link(directory, ".", most))
    return guarded(place, "it would make a git directory with a symlink, or with very many files");
  Place config{UniqueFd(::fcntl(directory, F_DUPFD_CLOEXEC, 0)), place.parent, "config", false,
               &git_folder()};
  const auto entry = look_at(directory, config.name);
  if (!entry) return std::nullopt;
  if (auto danger = find_danger(*entry, *find_name(git_folder(), config.name), "", config))
    return guarded(config, *danger);
  int err = 0;
  if (!put_over(*entry, config, true, err)) return failed(err);
  return std::nullopt;
}

Answer Writer::replace_config(const Call&, const Seen& from, const Seen& to) {
  const NameRule& rule = *places_.rule_of(to.place);
  if (to.exists && !to.is(S_IFREG)) return guarded(to.place, rule.why);
  std::string before;
  const auto old = look_at(to.place.directory.get(), to.place.name);
  if (to.exists) {
    if (!old || !old->text) return guarded(to.place, rule.why);
    before = *old->text;
  }
  const auto entry = look_at(from.place.directory.get(), from.place.name);
  if (!entry) return failed(ENOENT);
  // As long as there is none, git init may choose.
  if (old && is_other_format(before_from(*old), *entry) &&
      (has_index(to.place.directory.get()) || has(to.place.directory.get(), "worktrees"))) {
    return guarded(to.place, kOtherFormat.why);
  }
  if (auto danger = find_danger(*entry, rule, before, to.place)) return guarded(to.place, *danger);
  int err = 0;
  if (!put_over(*entry, to.place, false, err)) return failed(err);
  return answer_of(::unlinkat(from.place.directory.get(), from.place.name.c_str(), 0));
}

}  // namespace dirbox::guard
