#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/json.h"

/// Which parts of a program's state may go back to the host. Pure.
///
/// ~/.claude.json holds what Claude Code counts and who is logged in, but also servers and commands
/// that it starts, variables that it sets for them, and what it was allowed for good. A sandbox
/// that could write these would have them executed outside. So a table lists what comes back, with
/// the form that it must have; what it does not list stays inside, keys of later versions as well.
namespace dirbox::sync {

struct KeyTable;

/// The table of the files called `name`; nullptr: nothing in them is known to be executed, and all
/// of such a file comes back.
const KeyTable* find_key_table(std::string_view name);

/// `base` with those changes of `ours` that may come back. `here`: the directories of whose
/// projects a sandbox may say something.
Json take_allowed(const KeyTable& table, const Json& base, const Json& ours,
                  const std::vector<std::string>& here);

/// A change that lets whoever made it choose what the host executes.
struct Danger {
  std::string key;    ///< "mcpServers"; as value
  std::string value;  ///< as JSON, at most kMaxShown bytes and "…"
  std::string why;
};
inline constexpr std::size_t kMaxShown = 256, kMaxDangers = 32;
/// In the order of `ours`, the first kMaxDangers; what is empty or false endangers nobody.
std::vector<Danger> find_dangers(const KeyTable& table, const Json& base, const Json& ours,
                                 const std::vector<std::string>& here);

}  // namespace dirbox::sync
