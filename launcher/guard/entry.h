#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/guard/git_config.h"
#include "launcher/guard/table.h"

/// One guarded name in one directory: what it was, what it is, and how it is undone.
namespace dirbox::guard {

/// What a name held when the sandbox began.
struct Before {
  bool exists = false;
  std::optional<std::string> text;  ///< of a regular file up to kMaxKept, or a symlink's target
  unsigned mode = 0;                ///< with the type
  std::uint64_t inode = 0;
  std::int64_t changed = 0;  ///< ctime when it was seen, ns since 1970
};
inline constexpr std::size_t kMaxKept = 256 << 10;

/// A dangerous change.
struct Finding {
  std::string path;
  std::string key;                    ///< of a git configuration; "" for the whole file
  std::optional<std::string> before;  ///< the value of the key before
  std::string after;                  ///< the value of the key, or what the entry is
  std::string why;
  std::string kept;  ///< what was displaced, in the store; "" in mode report, or when that failed
  bool undone = false;  ///< though nothing is kept
};

/// What there is, without following symlinks and without waiting for a FIFO.
struct Entry {
  struct stat status {};
  std::optional<std::string> text;  ///< as Before::text
};
Before before_from(const Entry& entry);
/// Names, and whether they are directories.
struct Listing {
  std::vector<std::pair<std::string, bool>> entries;
  bool whole = true;  ///< false: there were more
};
/// The first `most` entries of a directory; without the files that `knowing` cannot know, where it
/// is given. `directory` is open for reading; its offset moves.
Listing list_entries(int directory, std::size_t most, const Folder* knowing = nullptr);
/// What git takes for a git directory (gitrepository-layout(5)), and more: what the names are does
/// not matter here, where some may be symlinks.
bool is_git_directory(int directory);
/// What stands beside `name` until it takes its place: of this process.
std::string temporary_name(const std::string& name);
bool is_temporary_name(std::string_view name);
/// nullopt where there is nothing, or no more.
/// Opens `path`, close-on-exec; a symlink anywhere on it is ELOOP. errno where it is not valid.
UniqueFd open_straight(const std::string& path, int flags);
std::optional<Entry> look_at(int directory, const std::string& name);

/// Whether where a gitfile, commondir or backlink leads is known to be guarded or harmless.
using Follow = std::function<bool(What what, const std::string& text)>;

/// What makes `now` a danger compared with `before`; empty: nothing does. `inside`: see
/// git_config.h. Pure but for `follow`.
std::vector<Finding> judge_entry(const NameRule& rule, const Before& before, const Entry& now,
                                 const Inside& inside, const Follow& follow);

/// Puts back what `name` in `directory` was, or takes it away where it was nothing; of a git
/// configuration only the keys of the danger. What was there moves to `store` and gets the name
/// `kept`, by rename(2) where that is possible, so that a writer that still has it open writes
/// there. A change by somebody else meanwhile is looked at again, not lost: names are exchanged,
/// and what came out is compared with what was judged. Without a store, negative, it is removed.
Result<void> undo_entry(int directory, const std::string& name, const NameRule& rule,
                        const Before& before, const Entry& judged, const Inside& inside, int store,
                        const std::string& kept);

}  // namespace dirbox::guard
