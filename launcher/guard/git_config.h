#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"

/// git's configuration files (git-config(1), SYNTAX), and which keys make git execute something.
/// Pure.
namespace dirbox::guard {

struct ConfigEntry {
  std::string key;    ///< "core.fsmonitor", "filter.LFS.clean": section and name in lower case
  std::string value;  ///< unquoted; "true" for a key without "="
  std::uint32_t line = 0;
  std::size_t begin = 0, end = 0;  ///< bytes of the text: from the name to the end of its line
  bool operator==(const ConfigEntry& other) const {
    return key == other.key && value == other.value;
  }
};

struct ConfigFile {
  std::vector<ConfigEntry> entries;  ///< in their order
};

/// Accepts what git accepts and nothing else: a text that git reads in another way than this parser
/// must be an Error here. Errors name the line.
Result<ConfigFile> parse_git_config(std::string_view text);

/// Says of a value of core.worktree, relative to the git directory, that the sandbox may write
/// there anyway: git submodule sets it. Without one, no value is harmless.
using Inside = std::function<bool(std::string_view worktree)>;

/// Why a key lets whoever writes it choose what git executes, reads its configuration from, or
/// writes to; nullptr for one that does not.
const char* config_danger(std::string_view key, std::string_view value, const Inside& inside = {});

/// Dangerous entries that a file may gain; one with more is nothing that a program wrote, and
/// counts as one that git cannot read.
inline constexpr std::size_t kMaxDangers = 256;
inline constexpr std::size_t kMaxShown = 1024;  ///< bytes

/// `text` itself, or its first `most` bytes and a mark that there was more.
std::string shortened(std::string_view text, std::size_t most = kMaxShown);

/// A dangerous entry that `before` does not have. The texts are shortened.
struct ConfigChange {
  std::string key;
  std::optional<std::string> before;  ///< the value that the key had, where it had one
  std::string after;
  std::uint32_t line = 0;
  const char* why = nullptr;
};

struct CleanedConfig {
  std::string text;  ///< `after` with each change undone and everything else as it stands
  std::vector<ConfigChange> changes;
};

/// Compares two states of a file. What is only in `before` is not put back: its absence executes
/// nothing. A value that is to come back does so once for each key. An Error when `after` does not
/// parse, or has more than kMaxDangers changes; a `before` that does not parse counts as empty. In
/// time linear in both: the sandbox writes `after`.
Result<CleanedConfig> clean_git_config(std::string_view before, std::string_view after,
                                       const Inside& inside = {});

/// Tells an entry from others, also where it was shortened: some digits of a hash.
std::string entry_id(std::string_view key, std::string_view value);
/// `text` without the dangerous entries of these ids; as it is where it does not parse.
std::string without_entries(std::string_view text, const std::set<std::string>& ids);

}  // namespace dirbox::guard
