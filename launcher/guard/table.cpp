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
    {"crush.json", What::whole, "Crush starts the servers in it"},
    {".crush.json", What::whole, "Crush starts the servers in it"},
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
// Logs, references, what is left of a rebase: git writes to these files, and to where they lead.
extern const Folder kGitFiles;
constexpr Ways kWritten{.open = true, .others = &kGitFiles, .no_links = true, .late = true};
constexpr Folder kGitFiles{"git files", kTreeNames, {}, kWritten};
constexpr NameRule kRebaseNames[] = {
    {"strategy", What::strategy, "git rebase --continue executes the program that it names"}};
constexpr Folder kRebase{"rebase", kAlso<kRebaseNames>, {}, kWritten};
constexpr NameRule kSequencerNames[] = {
    {"opts", What::config, "git cherry-pick --continue executes the program that it names"}};
constexpr Folder kSequencer{"sequencer", kAlso<kSequencerNames>, {}, kWritten};
constexpr NameRule kRemoteNames[] = {
    {"*", What::whole, "git takes the address of a remote from it, which may be a program"}};
constexpr Folder kRemotes{"remotes", kRemoteNames, {}, {.no_links = true, .late = true}};
// Very many directories of files with hashes for names.
constexpr Folder kObjects{"objects", kTreeNames, {}, {.no_links = true, .late = true}};
// Of git lfs and git annex, which make symlinks there.
constexpr Folder kData{"data", kTreeNames, {}, {.open = true, .late = true}};

constexpr FolderRule kAdminFolders[] = {
    {"hooks", &kHooks}, {"rebase-merge", &kRebase}, {"sequencer", &kSequencer}};
constexpr Folder kAdmin{
    "worktree", kAlso<kAdminNames>, kAdminFolders, {.others = &kGitFiles, .no_links = true}};
constexpr NameRule kWorktreesNames[] = {kHead};
constexpr FolderRule kEachAdmin[] = {{"*", &kAdmin}};
constexpr Folder kWorktrees{"worktrees", kAlso<kWorktreesNames>, kEachAdmin, {.no_links = true}};
constexpr Folder kModules{"modules", kTreeNames, {}, {.open = true, .no_links = true}};

constexpr NameRule kGitNames[] = {
    {"lazygit.yml", What::whole, "lazygit runs its commands"},
    {"config", What::config, "git reads configuration from it"},
    {"config.worktree", What::config, "git reads configuration from it"},
    {"commondir", What::commondir, "git takes configuration and hooks from where it leads"},
    kIndex,
    kSharedIndex,
};
constexpr FolderRule kGitFolders[] = {
    {"hooks", &kHooks},         {"worktrees", &kWorktrees}, {"modules", &kModules},
    {"rebase-merge", &kRebase}, {"sequencer", &kSequencer}, {"remotes", &kRemotes},
    {"branches", &kRemotes},    {"objects", &kObjects},     {"lfs", &kData},
    {"annex", &kData},
};
constexpr Folder kGit{
    "git", kAlso<kGitNames>, kGitFolders, {.others = &kGitFiles, .no_links = true}};

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
    {"c_cpp_properties.json", What::whole, "VS Code executes the compiler that it names"},
    {"cmake-kits.json", What::whole, "VS Code executes the compiler that it names"},
};
constexpr Folder kCode{"vscode", kAlso<kCodeNames>, {}};

constexpr NameRule kIdeaNames[] = {
    kHead,
    {"workspace.xml", What::whole, "JetBrains IDEs run its configurations"},
    {"externalTools.xml", What::whole, "JetBrains IDEs run its tools"},
    {"watcherTasks.xml", What::whole, "JetBrains IDEs run its watchers"},
    {"prettier.xml", What::whole, "JetBrains IDEs run that formatter"},
};
constexpr FolderRule kIdeaFolders[] = {
    {"runConfigurations", &kScripts}, {"tools", &kScripts}, {"jsLinters", &kScripts}};
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
                                     {"hooks.json", What::whole, "Cursor runs its hooks"},
                                     {"cli.json", What::whole, "Cursor obeys its permissions"},
                                     {"worktrees.json", What::whole, "Cursor runs its commands"}};
// What an agent executes, or follows as its user's word.
constexpr FolderRule kAgentFolders[] = {
    {"commands", &kScripts}, {"agents", &kScripts},     {"hooks", &kScripts},
    {"skills", &kScripts},   {"plugins", &kScripts},    {"extensions", &kScripts},
    {"prompts", &kScripts},  {"policies", &kScripts},   {"workflows", &kScripts},
    {"mcp", &kScripts},      {"mcpServers", &kScripts}, {"modes", &kScripts},
    {"droids", &kScripts},   {"tools", &kScripts},
};
constexpr Folder kCursor{"cursor", kAlso<kCursorNames>, kAgentFolders};
// Of agents that have their settings in files of these names.
constexpr NameRule kAgentNames[] = {
    kHead,
    {"settings.json", What::whole, "an agent runs its hooks and obeys its permissions"},
    {"settings.local.json", What::whole, "an agent runs its hooks and obeys its permissions"},
    {"mcp.json", What::whole, "an agent starts the servers in it"},
    {"mcp_config.json", What::whole, "an agent starts the servers in it"},
    {"hooks.json", What::whole, "an agent runs its hooks"},
    {"config.json", What::whole, "an agent starts servers from it"},
    {"config.yaml", What::whole, "an agent starts servers from it"},
};
constexpr Folder kAgent{"agent", kAlso<kAgentNames>, kAgentFolders};

constexpr NameRule kClaudeNames[] = {
    kHead,
    {"settings.json", What::whole, "Claude Code runs its hooks and obeys its permissions"},
    {"settings.local.json", What::whole, "Claude Code runs its hooks and obeys its permissions"},
};
constexpr FolderRule kStyles[] = {{"output-styles", &kScripts}};
constexpr auto kClaudeFolders = both(kAgentFolders, kStyles);
constexpr Folder kClaude{"claude", kAlso<kClaudeNames>, kClaudeFolders};

constexpr NameRule kCodexNames[] = {kHead,
                                    {"config.toml", What::whole, "Codex starts servers from it"},
                                    {"hooks.json", What::whole, "Codex runs its hooks"}};
constexpr FolderRule kCodexRules[] = {{"rules", &kScripts}};
constexpr auto kCodexFolders = both(kAgentFolders, kCodexRules);
constexpr Folder kCodex{"codex", kAlso<kCodexNames>, kCodexFolders};
constexpr NameRule kGeminiNames[] = {
    kHead,
    {"settings.json", What::whole, "Gemini starts servers from it"},
    {".env", What::whole, "Gemini takes variables for its programs from it"}};
constexpr Folder kGemini{"gemini", kAlso<kGeminiNames>, kAgentFolders};

constexpr NameRule kServerNames[] = {
    kHead, {"mcp.json", What::whole, "an agent starts the servers in it"}};
constexpr Folder kServers{"servers", kAlso<kServerNames>, kAgentFolders};
constexpr NameRule kAmazonNames[] = {
    kHead,
    {"mcp.json", What::whole, "Amazon Q starts the servers in it"},
    {"default.json", What::whole, "Amazon Q starts the servers in it"}};
constexpr FolderRule kAmazonAgents[] = {{"cli-agents", &kScripts}};
constexpr auto kAmazonFolders = both(kAgentFolders, kAmazonAgents);
constexpr Folder kAmazon{"amazonq", kAlso<kAmazonNames>, kAmazonFolders};
constexpr NameRule kHeadOnly[] = {kHead};
constexpr FolderRule kKiroSettings[] = {{"settings", &kServers}};
constexpr auto kKiroFolders = both(kAgentFolders, kKiroSettings);
constexpr Folder kKiro{"kiro", kAlso<kHeadOnly>, kKiroFolders};
constexpr NameRule kQwenNames[] = {
    kHead,
    {"settings.json", What::whole, "Qwen Code starts servers from it"},
    {".env", What::whole, "Qwen Code takes variables for its programs from it"}};
constexpr Folder kQwen{"qwen", kAlso<kQwenNames>, kAgentFolders};
constexpr NameRule kMiseNames[] = {kHead,
                                   {"config.toml", What::whole, "mise executes its hooks"},
                                   {"config.local.toml", What::whole, "mise executes its hooks"}};
constexpr FolderRule kMiseFolders[] = {{"conf.d", &kScripts}, {"tasks", &kScripts}};
constexpr Folder kMise{"mise", kAlso<kMiseNames>, kMiseFolders};
constexpr FolderRule kOpencodeOwn[] = {{"agent", &kScripts}, {"command", &kScripts},
                                       {"tool", &kScripts},  {"plugin", &kScripts},
                                       {"skill", &kScripts}, {"mode", &kScripts}};
constexpr auto kOpencodeFolders = both(kAgentFolders, kOpencodeOwn);
constexpr Folder kOpencode{"opencode", kAlso<kHeadOnly>, kOpencodeFolders};

constexpr NameRule kHgNames[] = {
    kHead,
    {"hgrc", What::whole, "Mercurial executes its hooks and aliases"},
    {"hgrc-not-shared", What::whole, "Mercurial executes its hooks and aliases"},
    {"sharedpath", What::whole, "Mercurial takes configuration from where it leads"}};
constexpr Folder kHg{"hg", kAlso<kHgNames>, {}};
constexpr NameRule kJjRepoNames[] = {
    kHead, {"config.toml", What::whole, "Jujutsu executes its tools and aliases"}};
constexpr Folder kJjRepo{"jj-repo", kAlso<kJjRepoNames>, {}};
constexpr FolderRule kJjFolders[] = {{"repo", &kJjRepo}};
constexpr NameRule kJjNames[] = {
    kHead, {"workspace-config.toml", What::whole, "Jujutsu executes its tools and aliases"}};
constexpr Folder kJj{"jj", kAlso<kJjNames>, kJjFolders};

constexpr NameRule kSaplingNames[] = {
    kHead, {"config", What::whole, "Sapling executes its hooks and aliases"}};
constexpr Folder kSapling{"sapling", kAlso<kSaplingNames>, {}};
constexpr NameRule kHelixNames[] = {
    kHead,
    {"languages.toml", What::whole, "Helix starts language servers from it"},
    {"config.toml", What::whole, "Helix runs commands that its keys are bound to"}};
constexpr Folder kHelix{"helix", kAlso<kHelixNames>, {}};
constexpr NameRule kVimNames[] = {
    kHead, {"coc-settings.json", What::whole, "coc.nvim starts language servers from it"}};
constexpr Folder kVim{"vim", kAlso<kVimNames>, {}};
constexpr FolderRule kHooksAlone[] = {
    {"hooks", &kScripts}, {"agents", &kScripts}, {"skills", &kScripts}};
constexpr Folder kGithub{"github", kAlso<kHeadOnly>, kHooksAlone};
constexpr NameRule kDirenvNames[] = {kHead, {"*.rc", What::whole, "direnv executes it"}};
constexpr Folder kDirenv{"direnv", kAlso<kDirenvNames>, {}};

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
    {".git", &kGit},        {".vscode", &kCode},    {".claude", &kClaude},
    {".husky", &kHusky},    {".idea", &kIdea},      {".devcontainer", &kContainer},
    {".zed", &kZed},        {".cursor", &kCursor},  {".codex", &kCodex},
    {".gemini", &kGemini},  {".cargo", &kCargo},    {".opencode", &kOpencode},
    {".hg", &kHg},          {".jj", &kJj},          {".run", &kScripts},
    {".roo", &kServers},    {".kiro", &kKiro},      {".qwen", &kQwen},
    {".amazonq", &kAmazon}, {".mise", &kMise},      {".theia", &kCode},
    {".sl", &kSapling},     {".helix", &kHelix},    {".vim", &kVim},
    {".github", &kGithub},  {".direnv", &kDirenv},  {".agents", &kAgent},
    {".factory", &kAgent},  {".augment", &kAgent},  {".pi", &kAgent},
    {".kilocode", &kAgent}, {".junie", &kAgent},    {".continue", &kAgent},
    {".trae", &kAgent},     {".windsurf", &kAgent}, {".clinerules", &kGithub},
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
constexpr Folder kSwarm{"swarm", kSwarmNames, kSwarmFolders, {.open = true}};

constexpr FolderRule kSwarmItself[] = {{".swarm", &kSwarm}};
constexpr auto kTreeFolders = both(kPlainFolders, kSwarmItself);
constexpr Folder kTree{"tree", kTreeNames, kTreeFolders, {.open = true}};

bool matches(const NameRule& rule, std::string_view name) {
  if (rule.name == "*") return !name.ends_with(".sample");
  if (!is_pattern(rule)) return is_same_name(rule.name, name);
  if (rule.name.starts_with('*')) return name.ends_with(rule.name.substr(1));
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
const NameRule& link_rule() {
  static constexpr NameRule kRule{"", What::whole,
                                  "git writes through it, or removes what it leads to"};
  return kRule;
}

// setup.c of git: "tXXXXXX" of mkstemp(3), which leads to "testing".
bool is_probe(std::string_view name, std::string_view target) {
  return name.size() == 7 && name.front() == 't' && target == "testing";
}

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
  if (rule != nullptr) return rule->folder;
  return folder.others != nullptr ? folder.others : folder.open ? &kTree : nullptr;
}

const Folder& folder_in(const Folder& folder, std::string_view name) {
  const Folder* found = find_folder(folder, name);
  return found != nullptr ? *found : kTree;
}

bool is_special(const Folder& folder, std::string_view name) {
  return find_rule(folder, name, false) != nullptr || find_rule(kTree, name, false) != nullptr;
}

}  // namespace dirbox::guard
