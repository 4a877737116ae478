#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/plan/excluded.h"
#include "launcher/verify/context.h"

/// What is left in writable trees for the host to execute.
namespace dirbox::verify {
namespace {

constexpr int kPatienceMs = 3000;  // for the guard, whose look takes milliseconds
constexpr int kLookMs = 5;

/// In a directory of verify's own, which the guard watches as every other; whatever it says is
/// harmless where the guard does not undo it.
struct Plant {
  const char* name;
  const char* text;
  const char* danger;  ///< gone from the text when undone
};
constexpr Plant kPlants[] = {
    {".git/config", "[core]\n\tbare = false\n\tfsmonitor = dirbox-verify\n", "fsmonitor"},
    {".git/hooks/dirbox-verify", "#!/bin/sh\n# dirbox-verify\n", "dirbox-verify"},
    {".git/commondir", "../dirbox-verify\n", "dirbox-verify"},
    {".cargo/config.toml", "[build]\nrustc-wrapper = \"dirbox-verify\"\n", "dirbox-verify"},
    {".envrc", "# dirbox-verify\n", "dirbox-verify"},
    {".mcp.json", R"({"mcpServers":{"dirbox-verify":{"command":"true"}}})", "dirbox-verify"},
    {".vscode/tasks.json", R"({"tasks":[{"label":"dirbox-verify"}]})", "dirbox-verify"},
    {".claude/settings.json", R"({"hooks":{"Stop":[{"dirbox-verify":1}]}})", "dirbox-verify"},
};

bool is_undone(const std::string& path, const char* danger) {
  auto text = read_file(path);
  return !text || text->find(danger) == std::string::npos;
}

/// False when it is not undone in `left` milliseconds, from which the wait is taken.
bool wait_until_undone(const std::string& path, const char* danger, int& left) {
  while (!is_undone(path, danger)) {
    if (left <= 0) return false;
    left -= kLookMs;
    if (::poll(nullptr, 0, kLookMs) < 0) return false;
  }
  return true;
}

void judge(Context& context, const std::string& path, const Outcome& planted, const Plant& plant,
           const std::string& outside, int& left) {
  const guard::Mode mode = context.plan().guard.mode;
  if (planted.kind == Outcome::Kind::not_run) {
    context.add(path, Verdict::not_run, planted.text());
  } else if (mode == guard::Mode::off || mode == guard::Mode::report) {
    context.add(path, Verdict::waived, "it stays", context.find_waiver("guard:"));
  } else if (!planted.done()) {
    // Undone before all of it was there, or not to be written at all.
    context.add(path, Verdict::pass, planted.text());
  } else if (wait_until_undone(outside, plant.danger, left)) {
    context.add(path, Verdict::pass, "undone");
  } else {
    context.add(path, Verdict::fail, "it is still there");
  }
}

void try_tree(Context& context, const std::string& tree, int& left) {
  const std::string name = ".dirbox-verify-" + context.canaries().token;
  const std::string inside = path_join(tree, name);
  const std::string outside =
      path_join(plan::map_to_host(context.plan(), tree).value_or(tree), name);
  if (!context.inside("plant", {path_join(inside, ".git/HEAD"), "ref: refs/heads/main\n"}).done())
    return context.add(tree, Verdict::absent, "nothing can be made there");
  std::vector<Outcome> planted;
  for (const Plant& plant : kPlants)
    planted.push_back(context.inside("plant", {path_join(inside, plant.name), plant.text}));
  for (std::size_t i = 0; i < planted.size(); ++i) {
    const Plant& plant = kPlants[i];
    judge(context, path_join(tree, plant.name), planted[i], plant, path_join(outside, plant.name),
          left);
  }
  std::error_code removed;
  std::filesystem::remove_all(outside, removed);
  if (removed) context.add(outside, Verdict::not_run, "not removed: " + removed.message());
}

/// Of nested grants the outer one: the guard watches from there.
void check_plants(Context& context) {
  std::string outer;
  int left = kPatienceMs;
  for (const plan::PathRule& rule : context.plan().rules) {
    if (rule.access != plan::PathAccess::write || rule.type != plan::FileType::directory) continue;
    if (!outer.empty() && path_is_beneath(rule.path, outer)) continue;
    outer = rule.path;
    try_tree(context, rule.path, left);
  }
  if (outer.empty())
    context.add("writable directories", Verdict::absent, "the profile grants none");
}

/// The repository that the sandbox works in. The name is none that git executes.
void check_hooks(Context& context) {
  const plan::Plan& plan = context.plan();
  const std::string hooks = path_join(plan.project, ".git/hooks");
  if (plan.project.empty() || ::access(hooks.c_str(), F_OK) != 0)
    return context.add(hooks, Verdict::absent, "there is no repository");
  const std::string path = path_join(hooks, "dirbox-verify-" + context.canaries().token);
  const Plant plant{"", "#!/bin/sh\n# dirbox-verify\n", "dirbox-verify"};
  const Outcome got = context.inside("plant", {path, plant.text});
  int left = kPatienceMs;
  judge(context, path, got, plant, path, left);
  if (::access(path.c_str(), F_OK) == 0) ::unlink(path.c_str());
}

constexpr Row kRows[] = {
    {"guard.plants", "nothing that the host would execute stays in a writable tree", "guard",
     check_plants},
    {"guard.hooks", "no hook stays in the repository", "mount, guard", check_hooks},
};

}  // namespace

std::span<const Row> guard_rows() { return kRows; }

}  // namespace dirbox::verify
