#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "profiles/profile.h"
#include "profiles/text_rules.h"

/// The one table of TOML keys. The parser, the defaults, the merge, `profile show`, "did you mean"
/// and the test of dirbox-profile(5) walk it: a key is added by a member of Profile and a row here.
namespace dirbox::profiles {

/// What a file that comes later in the chain does to what came before.
enum class Merge {
  replace,          ///< the later value wins
  append,           ///< added behind; an equal entry is replaced in its place; "-x" removes
  replace_by_name,  ///< per name: the later value wins
};

/// How the value is written.
enum class Kind {
  text,         ///< "…"
  boolean,      ///< true or false
  choice,       ///< one of `choices`
  size,         ///< 64M, "64M" or bytes
  count,        ///< an integer
  paths,        ///< a list of paths
  names,        ///< a list of strings that are not paths
  assignments,  ///< a table NAME = "value"
  records,      ///< [[section.key]]; the rows of the section of that name are its keys
  column_list,  ///< in a record: a list of strings
  rules,        ///< in a record: a list of strings, or of {rule = "…", reason = "…"}
};

/// Where the value goes. An enumeration is written by its position in `choices`; so is a bool that
/// has choices. The types behind those of Profile are columns of records. monostate: extends, which
/// the loader acts on.
using Target = std::variant<
    std::monostate, Setting<std::string> Profile::*, Setting<bool> Profile::*,
    Setting<std::uint64_t> Profile::*, Setting<std::optional<std::uint64_t>> Profile::*,
    Setting<HomeMode> Profile::*, Setting<NetworkMode> Profile::*, std::vector<Entry> Profile::*,
    std::vector<Assignment> Profile::*, std::vector<SyscallRule> Profile::*,
    Setting<netns::TlsCheck> Profile::*, Setting<SwarmState> Profile::*,
    std::vector<NameLimit> Profile::*, std::vector<Excluded> Profile::*,
    Setting<seccomp::Observe> Profile::*, std::vector<VerifyCheck> Profile::*,
    Setting<GuardMode> Profile::*, std::string SyscallRule::*, std::string NameLimit::*,
    std::uint64_t NameLimit::*, std::vector<std::string> SyscallRule::*, std::string VerifyCheck::*,
    bool VerifyCheck::*, std::string Excluded::*, broker::Mode Excluded::*,
    std::vector<ArgvRule> Excluded::*, std::vector<std::string> Excluded::*,
    std::uint64_t Excluded::*>;

/// Marks that an entry of a list may carry.
enum Mark : unsigned {
  kOptional = 1,        ///< "?x" or optional = true
  kCreate = 2,          ///< create = true
  kDangerous = 4,       ///< dangerous = true
  kAlwaysOptional = 8,  ///< absence is never an error, the entry need not say so
};

struct Row {
  std::string_view section;  ///< "" for the top of the file; "seccomp.rules" for its columns
  std::string_view key;
  Kind kind;
  Target target;
  Merge merge = Merge::replace;
  std::string_view fallback;      ///< the default in TOML, "" for none
  std::string_view doc;           ///< one sentence
  std::string_view example;       ///< the right-hand side of an assignment
  std::string_view choices = {};  ///< "a|b|c", in the order of the enumeration
  unsigned marks = 0;
  Check check = nullptr;  ///< for each text
  std::uint64_t min = 0;
  std::uint64_t max = std::numeric_limits<std::int64_t>::max();
  bool required = false;  ///< a column that every record has

  /// "section.key", or the key alone.
  std::string full_name() const;
};

std::span<const Row> schema();
const Row* find_row(std::string_view section, std::string_view key);
/// The words of `row.choices`.
std::vector<std::string_view> choices_of(const Row& row);
/// The keys of a section, for "did you mean"; for "" also the names of the sections.
std::vector<std::string_view> keys_of(std::string_view section);
/// True for [section], not for the columns of records.
bool is_section(std::string_view name);

/// Pairs of lists that may not name the same thing within one file.
struct Exclusive {
  const char* section;
  const char* first;
  const char* second;
};
std::span<const Exclusive> exclusive_lists();

/// A Profile of nothing but the table's defaults.
Profile default_profile();

}  // namespace dirbox::profiles
