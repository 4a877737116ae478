#include "launcher/guard/table.h"

#include <algorithm>
#include <array>

#include "launcher/guard/names.h"

namespace dirbox::guard {
namespace {

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
    {".pnpmfile.mjs", What::whole, "pnpm executes it"},
    {".mise.toml", What::whole, "mise executes its hooks"},
    {"mise.toml", What::whole, "mise executes its hooks"},
    {".mise.local.toml", What::whole, "mise executes its hooks"},
    {"mise.local.toml", What::whole, "mise executes its hooks"},
    {"lefthook-local.yml", What::whole, "lefthook executes it from git's hooks"},
    {".lefthook-local.yml", What::whole, "lefthook executes it from git's hooks"},
    {"lefthook-local.yaml", What::whole, "lefthook executes it from git's hooks"},
    {".lefthook-local.yaml", What::whole, "lefthook executes it from git's hooks"},
    {"lefthook-local.toml", What::whole, "lefthook executes it from git's hooks"},
    {".lefthook-local.toml", What::whole, "lefthook executes it from git's hooks"},
    {"lefthook-local.json", What::whole, "lefthook executes it from git's hooks"},
    {".lefthook-local.json", What::whole, "lefthook executes it from git's hooks"},
    {"lefthook-local.jsonc", What::whole, "lefthook executes it from git's hooks"},
    {".lefthook-local.jsonc", What::whole, "lefthook executes it from git's hooks"},
    {".devcontainer.json", What::whole, "it runs commands on the host and mounts from it"},
    {"opencode.json", What::whole, "opencode starts the servers in it"},
    {"opencode.jsonc", What::whole, "opencode starts the servers in it"},
    {".aider.conf.yml", What::whole, "aider runs its commands"},
    {".lazygit.yml", What::whole, "lazygit runs its commands"},
    {".gdbinit", What::whole, "gdb executes it"},
    {".lldbinit", What::whole, "lldb executes it"},
    {".exrc", What::whole, "vi executes it"},
    {".vimrc", What::whole, "vim executes it"},
    {".nvim.lua", What::whole, "nvim executes it"},
    {".nvimrc", What::whole, "nvim executes it"},
    {".pdbrc", What::whole, "Python's debugger executes it"},
    {".Rprofile", What::whole, "R executes it"},
    {".ghci", What::whole, "GHCi executes it"},
    {".ocamlinit", What::whole, "OCaml executes it"},
    {".irbrc", What::whole, "irb executes it"},
    {".pryrc", What::whole, "pry executes it"},
    {"swarm.py", What::swarm_code, "swarm ralph spawn executes it in this directory"},
};
template <class Rule, std::size_t N, std::size_t M>
constexpr std::array<Rule, N + M> both(const Rule (&a)[N], const Rule (&b)[M]) {
  std::array<Rule, N + M> out{};
  std::copy(a, a + N, out.begin());
  std::copy(b, b + M, out.begin() + N);
  return out;
}

/// The names of a directory of a kind of its own, which is an ordinary one as well: somebody can go
/// there, and start what reads them.
template <const auto& kOwn>
constexpr auto kAlso = both(kOwn, kTreeNames);

/// Of a directory whose kind is by its name: with it, it would be a git directory, in which other
/// names count.
constexpr NameRule kHead{"HEAD", What::whole, "it makes a git directory of one that is none"};

/// The second is the other half of a split index.
constexpr NameRule kIndex{"index", What::index,
                          "git reads and writes what it names, wherever that is"};
constexpr NameRule kSharedIndex{"sharedindex.*", What::index, kIndex.why};

constexpr NameRule kHookNames[] = {{"*", What::whole, "git executes its hooks"}};
constexpr Folder kHooks{"hooks", kHookNames, {}};

constexpr NameRule kAdminNames[] = {
    // Without commondir it is a git directory by itself.
    {"config", What::config, "git reads configuration from it"},
    {"config.worktree", What::config, "git reads configuration from it"},
    {"commondir", What::commondir, "git takes configuration and hooks from where it leads"},
    {"gitdir", What::backlink, "git worktree removes and repairs what it names"},
    kIndex,
    kSharedIndex,
};
constexpr FolderRule kAdminFolders[] = {{"hooks", &kHooks}};
constexpr Folder kAdmin{"worktree", kAlso<kAdminNames>, kAdminFolders};
constexpr NameRule kWorktreesNames[] = {kHead};
constexpr FolderRule kEachAdmin[] = {{"*", &kAdmin}};
constexpr Folder kWorktrees{"worktrees", kAlso<kWorktreesNames>, kEachAdmin};
constexpr Folder kModules{"modules", kTreeNames, {}, true};

constexpr NameRule kGitNames[] = {
    {"config", What::config, "git reads configuration from it"},
    {"config.worktree", What::config, "git reads configuration from it"},
    {"commondir", What::commondir, "git takes configuration and hooks from where it leads"},
    kIndex,
    kSharedIndex,
};
constexpr FolderRule kGitFolders[] = {
    {"hooks", &kHooks}, {"worktrees", &kWorktrees}, {"modules", &kModules}};
constexpr Folder kGit{"git", kAlso<kGitNames>, kGitFolders};

constexpr NameRule kEvery[] = {{"*", What::whole, "an agent or an editor executes what it says"}};
extern const Folder kScripts;
constexpr FolderRule kMoreScripts[] = {{"*", &kScripts}};
constexpr Folder kScripts{"scripts", kEvery, kMoreScripts};

constexpr NameRule kCodeNames[] = {
    kHead,
    {"tasks.json", What::whole, "VS Code runs tasks, some when the folder is opened"},
    {"launch.json", What::whole, "VS Code runs what it launches"},
    {"settings.json", What::whole, "VS Code takes paths of programs from it"},
    {"mcp.json", What::whole, "VS Code starts the servers in it"},
};
constexpr Folder kCode{"vscode", kAlso<kCodeNames>, {}};

constexpr NameRule kIdeaNames[] = {
    kHead,
    {"workspace.xml", What::whole, "JetBrains IDEs run its configurations"},
    {"externalTools.xml", What::whole, "JetBrains IDEs run its tools"},
    {"watcherTasks.xml", What::whole, "JetBrains IDEs run its watchers"},
};
constexpr FolderRule kIdeaFolders[] = {{"runConfigurations", &kScripts}};
constexpr Folder kIdea{"idea", kAlso<kIdeaNames>, kIdeaFolders};

constexpr NameRule kZedNames[] = {
    kHead,
    {"tasks.json", What::whole, "Zed runs tasks"},
    {"debug.json", What::whole, "Zed runs what it launches"},
    {"settings.json", What::whole, "Zed starts language servers from it"},
};
constexpr Folder kZed{"zed", kAlso<kZedNames>, {}};

constexpr NameRule kCursorNames[] = {kHead,
                                     {"mcp.json", What::whole, "Cursor starts the servers in it"},
                                     {"hooks.json", What::whole, "Cursor runs its hooks"}};
constexpr Folder kCursor{"cursor", kAlso<kCursorNames>, {}};

constexpr NameRule kClaudeNames[] = {
    kHead,
    {"settings.json", What::whole, "Claude Code runs its hooks and obeys its permissions"},
    {"settings.local.json", What::whole, "Claude Code runs its hooks and obeys its permissions"},
};
constexpr FolderRule kClaudeFolders[] = {
    {"commands", &kScripts}, {"agents", &kScripts}, {"hooks", &kScripts}, {"skills", &kScripts}};
constexpr Folder kClaude{"claude", kAlso<kClaudeNames>, kClaudeFolders};

constexpr NameRule kCodexNames[] = {kHead,
                                    {"config.toml", What::whole, "Codex starts servers from it"},
                                    {"hooks.json", What::whole, "Codex runs its hooks"}};
constexpr Folder kCodex{"codex", kAlso<kCodexNames>, {}};
constexpr NameRule kGeminiNames[] = {
    kHead,
    {"settings.json", What::whole, "Gemini starts servers from it"},
    {".env", What::whole, "Gemini takes variables for its programs from it"}};
constexpr FolderRule kGeminiFolders[] = {{"commands", &kScripts}, {"extensions", &kScripts}};
constexpr Folder kGemini{"gemini", kAlso<kGeminiNames>, kGeminiFolders};

constexpr NameRule kServerNames[] = {
    kHead, {"mcp.json", What::whole, "an agent starts the servers in it"}};
constexpr Folder kServers{"servers", kAlso<kServerNames>, {}};
constexpr FolderRule kAmazonFolders[] = {{"cli-agents", &kScripts}};
constexpr Folder kAmazon{"amazonq", kAlso<kServerNames>, kAmazonFolders};
constexpr NameRule kHeadOnly[] = {kHead};
constexpr FolderRule kKiroFolders[] = {{"settings", &kServers}, {"hooks", &kScripts}};
constexpr Folder kKiro{"kiro", kAlso<kHeadOnly>, kKiroFolders};
constexpr NameRule kQwenNames[] = {
    kHead, {"settings.json", What::whole, "Qwen Code starts servers from it"}};
constexpr Folder kQwen{"qwen", kAlso<kQwenNames>, {}};
constexpr NameRule kMiseNames[] = {kHead,
                                   {"config.toml", What::whole, "mise executes its hooks"},
                                   {"config.local.toml", What::whole, "mise executes its hooks"}};
constexpr Folder kMise{"mise", kAlso<kMiseNames>, {}};
constexpr FolderRule kOpencodeFolders[] = {
    {"agent", &kScripts}, {"agents", &kScripts}, {"command", &kScripts}, {"commands", &kScripts},
    {"tool", &kScripts},  {"tools", &kScripts},  {"plugin", &kScripts},  {"plugins", &kScripts},
};
constexpr Folder kOpencode{"opencode", kAlso<kHeadOnly>, kOpencodeFolders};

constexpr NameRule kHgNames[] = {kHead,
                                 {"hgrc", What::whole, "Mercurial executes its hooks and aliases"}};
constexpr Folder kHg{"hg", kAlso<kHgNames>, {}};
constexpr NameRule kJjRepoNames[] = {
    kHead, {"config.toml", What::whole, "Jujutsu executes its tools and aliases"}};
constexpr Folder kJjRepo{"jj-repo", kAlso<kJjRepoNames>, {}};
constexpr FolderRule kJjFolders[] = {{"repo", &kJjRepo}};
constexpr Folder kJj{"jj", kAlso<kHeadOnly>, kJjFolders};

constexpr NameRule kContainerNames[] = {
    kHead, {"devcontainer.json", What::whole, "it runs commands on the host and mounts from it"}};
extern const Folder kContainer;
constexpr FolderRule kMoreContainers[] = {{"*", &kContainer}};
constexpr Folder kContainer{"devcontainer", kAlso<kContainerNames>, kMoreContainers};

constexpr NameRule kHuskyNames[] = {{"*", What::whole, "husky's hooks, which git executes"}};
constexpr Folder kHuskyOwn{"husky", kHuskyNames, {}};
constexpr FolderRule kHuskyFolders[] = {{"_", &kHuskyOwn}};
constexpr Folder kHusky{"husky", kHuskyNames, kHuskyFolders};

constexpr NameRule kCargoNames[] = {
    kHead,
    {"config", What::whole, "cargo takes its compiler and runner from it"},
    {"config.toml", What::whole, "cargo takes its compiler and runner from it"},
};
constexpr Folder kCargo{"cargo", kAlso<kCargoNames>, {}};

constexpr FolderRule kPlainFolders[] = {
    {".git", &kGit},        {".vscode", &kCode},   {".claude", &kClaude},
    {".husky", &kHusky},    {".idea", &kIdea},     {".devcontainer", &kContainer},
    {".zed", &kZed},        {".cursor", &kCursor}, {".codex", &kCodex},
    {".gemini", &kGemini},  {".cargo", &kCargo},   {".opencode", &kOpencode},
    {".hg", &kHg},          {".jj", &kJj},         {".run", &kScripts},
    {".roo", &kServers},    {".kiro", &kKiro},     {".qwen", &kQwen},
    {".amazonq", &kAmazon}, {".mise", &kMise},
};

constexpr NameRule kBeatNames[] = {
    kHead, {"*", What::swarm_heartbeat, "the host's swarm types it, from its next start on"}};
constexpr Folder kBeats{"heartbeats", kBeatNames, {}};
constexpr NameRule kLoopNames[] = {
    kHead, {"state.json", What::swarm_loop, "swarm ralph run sends that file as a prompt"}};
constexpr Folder kLoop{"loop", kAlso<kLoopNames>, {}};
constexpr FolderRule kEachLoop[] = {{"*", &kLoop}};
constexpr NameRule kLoopsNames[] = {kHead};
constexpr Folder kLoops{"ralph", kAlso<kLoopsNames>, kEachLoop};
constexpr NameRule kStateNames[] = {
    {"state.json", What::swarm_workers, "the host's swarm types into that pane"}};
constexpr FolderRule kStateFolders[] = {{"heartbeats", &kBeats}, {"ralph", &kLoops}};
constexpr auto kSwarmNames = both(kTreeNames, kStateNames);
constexpr auto kSwarmFolders = both(kPlainFolders, kStateFolders);
constexpr Folder kSwarm{"swarm", kSwarmNames, kSwarmFolders, true};

constexpr FolderRule kSwarmItself[] = {{".swarm", &kSwarm}};
constexpr auto kTreeFolders = both(kPlainFolders, kSwarmItself);
constexpr Folder kTree{"tree", kTreeNames, kTreeFolders, true};

bool matches(const NameRule& rule, std::string_view name) {
  if (rule.name == "*") return !name.ends_with(".sample");
  if (!is_pattern(rule)) return is_same_name(rule.name, name);
  const std::size_t dot = name.rfind('.');
  return dot != name.npos &&
         is_same_name(rule.name.substr(0, rule.name.size() - 1), name.substr(0, dot + 1));
}

const FolderRule* find_rule(const Folder& folder, std::string_view name, bool any) {
  if (!folder.may_know(name)) return nullptr;
  for (const FolderRule& rule : folder.folders) {
    if ((any && rule.name == "*") || is_same_name(rule.name, name)) return &rule;
  }
  return nullptr;
}

}  // namespace

const Folder& tree_folder() { return kTree; }
const Folder& git_folder() { return kGit; }
const Folder& hooks_folder() { return kHooks; }

const NameRule* find_name(const Folder& folder, std::string_view name) {
  if (!folder.may_know(name)) return nullptr;
  for (const NameRule& rule : folder.names) {
    if (matches(rule, name)) return &rule;
  }
  return nullptr;
}

const Folder* find_folder(const Folder& folder, std::string_view name) {
  const FolderRule* rule = find_rule(folder, name, true);
  if (rule == nullptr && &folder != &kTree) rule = find_rule(kTree, name, true);
  return rule != nullptr ? rule->folder : folder.open ? &kTree : nullptr;
}

const Folder& folder_in(const Folder& folder, std::string_view name) {
  const Folder* found = find_folder(folder, name);
  return found != nullptr ? *found : kTree;
}

bool is_special(const Folder& folder, std::string_view name) {
  return find_rule(folder, name, false) != nullptr || find_rule(kTree, name, false) != nullptr;
}

}  // namespace dirbox::guard
