#pragma once
#include <string>
#include <string_view>

#include "launcher/plan/host.h"
#include "launcher/plan/plan.h"

/// What dirbox knows of Claude Code that no profile can say.
namespace dirbox::plan {

/// Claude Code's own sandbox wants user namespaces, which there are none inside, and every command
/// would fail. This file, which comes last of the administrator's settings, turns it off and leaves
/// their other settings in force. https://code.claude.com/docs/en/settings, managed settings.
inline constexpr std::string_view kClaudeSettings =
    "/etc/claude-code/managed-settings.d/zz-dirbox.json";
inline constexpr std::string_view kClaudeSettingsText = "{\"sandbox\":{\"enabled\":false}}\n";

/// The directory in which Claude Code 2.1 keeps the sessions of `cwd`: in ~/.claude/projects, with
/// a dash for every UTF-16 unit that is no letter or digit, and a hash where it gets long.
std::string claude_project_directory(std::string_view home, std::string_view cwd);

/// A warning where settings of the user, the project or the administrator turn Claude Code's own
/// sandbox on, and the command is Claude Code.
void note_inner_sandbox(const HostFacts& facts, Plan& plan);

}  // namespace dirbox::plan
