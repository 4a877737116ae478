#pragma once
#include <string>
#include <string_view>
#include <vector>

/// Paths and commands as Claude Code's settings write them, in the words of a profile. Pure.
namespace dirbox::profiles {

enum class ClaudeUse { grant, hide, protect };

struct ClaudePath {
  std::vector<std::string> paths;  ///< in their one spelling; none: `remark` says why
  std::string note;                ///< for the comment behind them; may be empty
  std::string remark;
};

/// What a settings file is a part of: the directory that its relative paths begin at.
struct ClaudeBase {
  std::string path = "${PROJECT}";  ///< of a user's settings their own directory: "~/.claude"
  bool is_project() const { return path == "${PROJECT}"; }
};

/// A path of sandbox.filesystem and its like: "/x" and "//x" are absolute, "x" and "./x" begin at
/// `base`. Wildcards count where the use is no grant.
ClaudePath read_claude_path(std::string_view text, ClaudeUse use, const ClaudeBase& base);

/// The pattern of a rule of permissions.deny, read as gitignore(5) does: "//x" is absolute, "/x"
/// begins at `base`, "x" and "./x" at the working directory; "x" and "x/**" there at any depth.
/// What a profile's pattern cannot say exactly becomes a wider one.
ClaudePath read_claude_rule(std::string_view text, ClaudeUse use, const ClaudeBase& base);

/// An entry of excludedCommands.
struct ClaudeCommand {
  std::string command;
  std::string rule;   ///< for `allow`; empty: any arguments
  std::string wrong;  ///< why there is no rule, or no command
};
/// "git", "git *", "git:*": any arguments. "git push", "git push *", "git push:*": a rule.
ClaudeCommand read_claude_command(std::string_view text);

}  // namespace dirbox::profiles
