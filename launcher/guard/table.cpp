#include "launcher/guard/table.h"

namespace dirbox::guard {
namespace {

constexpr NameRule kHookNames[] = {{"*", What::whole, "git executes its hooks"}};
constexpr Folder kHooks{"hooks", kHookNames, {}};

constexpr NameRule kAdminNames[] = {
    {"config.worktree", What::config, "git reads configuration from it"},
    {"commondir", What::commondir, "git takes configuration and hooks from where it leads"},
    {"gitdir", What::backlink, "git worktree removes and repairs what it names"},
};
constexpr Folder kAdmin{"worktree", kAdminNames, {}};
constexpr FolderRule kEachAdmin[] = {{"*", &kAdmin}};
constexpr Folder kWorktrees{"worktrees", {}, kEachAdmin};
constexpr Folder kModules{"modules", {}, {}, true};

constexpr NameRule kGitNames[] = {
    {"config", What::config, "git reads configuration from it"},
    {"config.worktree", What::config, "git reads configuration from it"},
    {"commondir", What::commondir, "git takes configuration and hooks from where it leads"},
};
constexpr FolderRule kGitFolders[] = {
    {"hooks", &kHooks}, {"worktrees", &kWorktrees}, {"modules", &kModules}};
constexpr Folder kGit{"git", kGitNames, kGitFolders};

constexpr NameRule kEvery[] = {{"*", What::whole, "an agent or an editor executes what it says"}};
constexpr Folder kScripts{"scripts", kEvery, {}};

constexpr NameRule kCodeNames[] = {
    {"tasks.json", What::whole, "VS Code runs tasks, some when the folder is opened"},
    {"launch.json", What::whole, "VS Code runs what it launches"},
    {"settings.json", What::whole, "VS Code takes paths of programs from it"},
    {"mcp.json", What::whole, "VS Code starts the servers in it"},
};
constexpr Folder kCode{"vscode", kCodeNames, {}};

constexpr NameRule kIdeaNames[] = {
    {"workspace.xml", What::whole, "JetBrains IDEs run its configurations"},
    {"externalTools.xml", What::whole, "JetBrains IDEs run its tools"},
    {"watcherTasks.xml", What::whole, "JetBrains IDEs run its watchers"},
};
constexpr FolderRule kIdeaFolders[] = {{"runConfigurations", &kScripts}};
constexpr Folder kIdea{"idea", kIdeaNames, kIdeaFolders};

constexpr NameRule kZedNames[] = {
    {"tasks.json", What::whole, "Zed runs tasks"},
    {"settings.json", What::whole, "Zed starts language servers from it"},
};
constexpr Folder kZed{"zed", kZedNames, {}};

constexpr NameRule kCursorNames[] = {{"mcp.json", What::whole, "Cursor starts the servers in it"}};
constexpr Folder kCursor{"cursor", kCursorNames, {}};

constexpr NameRule kClaudeNames[] = {
    {"settings.json", What::whole, "Claude Code runs its hooks and obeys its permissions"},
    {"settings.local.json", What::whole, "Claude Code runs its hooks and obeys its permissions"},
};
constexpr FolderRule kClaudeFolders[] = {
    {"commands", &kScripts}, {"agents", &kScripts}, {"hooks", &kScripts}};
constexpr Folder kClaude{"claude", kClaudeNames, kClaudeFolders};

constexpr NameRule kCodexNames[] = {{"config.toml", What::whole, "Codex starts servers from it"}};
constexpr Folder kCodex{"codex", kCodexNames, {}};
constexpr NameRule kGeminiNames[] = {
    {"settings.json", What::whole, "Gemini starts servers from it"}};
constexpr Folder kGemini{"gemini", kGeminiNames, {}};

constexpr NameRule kContainerNames[] = {
    {"devcontainer.json", What::whole, "it runs commands on the host and mounts from it"}};
constexpr Folder kContainer{"devcontainer", kContainerNames, {}};

constexpr NameRule kHuskyNames[] = {{"*", What::whole, "husky's hooks, which git executes"}};
constexpr Folder kHuskyOwn{"husky", kHuskyNames, {}};
constexpr FolderRule kHuskyFolders[] = {{"_", &kHuskyOwn}};
constexpr Folder kHusky{"husky", kHuskyNames, kHuskyFolders};

constexpr NameRule kCargoNames[] = {
    {"config", What::whole, "cargo takes its compiler and runner from it"},
    {"config.toml", What::whole, "cargo takes its compiler and runner from it"},
};
constexpr Folder kCargo{"cargo", kCargoNames, {}};

constexpr NameRule kTreeNames[] = {
    {".git", What::gitfile, "git takes configuration and hooks from where it leads"},
    {".dirbox.toml", What::whole, "dirbox takes settings for the next sandbox from it"},
    {".envrc", What::whole, "direnv executes it"},
    {".mcp.json", What::whole, "agents start the servers in it"},
    {".npmrc", What::whole, "npm takes its shell, its scripts and its registry from it"},
    {".yarnrc", What::whole, "yarn executes the program that it names"},
    {".yarnrc.yml", What::whole, "yarn executes the program that it names"},
    {".pnpmfile.cjs", What::whole, "pnpm executes it"},
    {"bunfig.toml", What::whole, "bun loads what it names"},
    {".mise.toml", What::whole, "mise executes its hooks"},
    {"lefthook-local.yml", What::whole, "lefthook executes it from git's hooks"},
    {".gdbinit", What::whole, "gdb executes it"},
    {".lldbinit", What::whole, "lldb executes it"},
    {".exrc", What::whole, "vi executes it"},
    {".vimrc", What::whole, "vim executes it"},
    {".nvim.lua", What::whole, "nvim executes it"},
};
constexpr FolderRule kTreeFolders[] = {
    {".git", &kGit},       {".vscode", &kCode},   {".claude", &kClaude},
    {".husky", &kHusky},   {".idea", &kIdea},     {".devcontainer", &kContainer},
    {".zed", &kZed},       {".cursor", &kCursor}, {".codex", &kCodex},
    {".gemini", &kGemini}, {".cargo", &kCargo},
};
constexpr Folder kTree{"tree", kTreeNames, kTreeFolders, true};

}  // namespace

const Folder& tree_folder() { return kTree; }
const Folder& git_folder() { return kGit; }
const Folder& hooks_folder() { return kHooks; }

const NameRule* find_name(const Folder& folder, std::string_view name) {
  for (const NameRule& rule : folder.names) {
    if (rule.name == name || (rule.name == "*" && !name.ends_with(".sample"))) return &rule;
  }
  return nullptr;
}

const Folder* find_folder(const Folder& folder, std::string_view name) {
  for (const FolderRule& rule : folder.folders) {
    if (rule.name == name || rule.name == "*") return rule.folder;
  }
  return folder.open ? &kTree : nullptr;
}

const Folder& folder_in(const Folder& folder, std::string_view name) {
  const Folder* found = find_folder(folder, name);
  return found != nullptr ? *found : kTree;
}

bool is_special(const Folder& folder, std::string_view name) {
  for (const FolderRule& rule : folder.folders) {
    if (rule.name == name) return true;
  }
  return false;
}

}  // namespace dirbox::guard
