#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

#include "launcher/base/glob.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/plan/claude_code.h"
#include "launcher/plan/docker.h"
#include "launcher/plan/excluded.h"
#include "launcher/plan/install_tree.h"
#include "launcher/plan/network.h"
#include "launcher/plan/paths.h"
#include "launcher/plan/plan.h"
#include "launcher/plan/policy_file.h"
#include "launcher/plan/swarm.h"
#include "launcher/plan/tree.h"
#include "profiles/show.h"
#include "profiles/text_rules.h"

namespace dirbox::plan {
namespace {

using profiles::NetworkMode;
using profiles::Profile;

/// A name, or a prefix followed by one '*'.
bool matches(std::string_view pattern, std::string_view name) {
  if (!pattern.empty() && pattern.back() == '*')
    return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == name;
}

void compile_environment(const Profile& profile, const HostFacts& facts, Plan& plan) {
  for (const auto& variable : facts.environment) {
    const std::string& name = variable.first;
    auto entry = std::find_if(profile.env_pass.begin(), profile.env_pass.end(),
                              [&](const profiles::Entry& e) { return matches(e.text, name); });
    bool set = std::any_of(profile.env_set.begin(), profile.env_set.end(),
                           [&](const profiles::Assignment& a) { return a.name == name; });
    if (set || name == "DIRBOX" || name == "IS_SANDBOX") continue;
    if (entry == profile.env_pass.end()) {
      plan.dropped_variables.push_back(name);
    } else {
      plan.environment.push_back({name, variable.second, entry->origin});
    }
  }
  const profiles::Variables places{facts.home, plan.cwd, plan.project,
                                   claude_project_directory(facts.home, plan.cwd)};
  for (const profiles::Assignment& a : profile.env_set) {
    plan.environment.push_back(
        {a.name, a.literal ? a.value : profiles::expand_value(a.value, places), a.origin});
  }
  for (const netns::ProxyVariable& variable : netns::proxy_environment(plan.network)) {
    bool set = std::any_of(plan.environment.begin(), plan.environment.end(),
                           [&](const EnvironmentVariable& e) { return e.name == variable.name; });
    if (!set)
      plan.environment.push_back({variable.name, variable.value, profile.network_mode.origin});
  }
  const Origin built_in{"built in", 0, 0};
  plan.environment.push_back({"IS_SANDBOX", "1", built_in});
  plan.environment.push_back({"DIRBOX", facts.session, built_in});
  for (const EnvironmentVariable& variable : plan.environment) {
    plan.spec.environment.push_back(variable.name + "=" + variable.value);
  }
}

/// The directory that this process is in, and not one that took its place since.
Result<std::string> find_cwd(Resolver& resolver, const HostFacts& facts) {
  Resolver::Resolution found = resolver.resolve(facts.cwd);
  if (!found.hops.empty() || found.stat.type != FileType::directory ||
      found.stat.id != facts.cwd_id) {
    return fail("use the working directory", escape_for_terminal(facts.cwd),
                found.stat.err != 0
                    ? "it cannot be reached by its path: " + errno_name(found.stat.err)
                    : "it is another directory by now, or under a mount",
                "change into it again, and look for a process that swaps it");
  }
  return found.path;
}

/// Which directories are too much for a working directory, before anything is granted.
Result<void> check_cwd_place(const Plan& plan, const Places& places) {
  const std::string shown = escape_for_terminal(plan.cwd);
  if (plan.cwd == "/")
    return fail("use the working directory", shown, "it is the root of everything", kCwdHint);
  for (const std::string& home : {plan.home, places.account_home}) {
    if (home.empty() || !path_is_beneath(home, plan.cwd)) continue;
    return fail("use the working directory", shown,
                plan.cwd == home ? "it is your home" : "your home lies in it", kCwdHint);
  }
  return {};
}

/// Hides that are no reason to refuse a working directory above them: of the work tree's own files,
/// of an option, whose author knows where it is, and of what the host mounted there.
bool is_meant_for_cwd(const PathRule& hidden) {
  return hidden.origin.line == 0 || is_inside_work_tree(hidden.text) || is_glob(hidden.text);
}

Result<void> check_cwd(const Plan& plan, const RuleSet& rules, bool force) {
  const std::string shown = escape_for_terminal(plan.cwd);
  const PathRule* rule = rules.decide(plan.cwd);
  if (rule == nullptr && force &&
      (plan.cwd == "/" || rules.own().is_own(plan.cwd) || rules.own().lies_above(plan.cwd))) {
    return {};  // the sandbox has such a directory of its own
  }
  if (rule == nullptr) {
    return fail("use the working directory", shown, "the profile grants no access to it",
                "add --read . or --write .");
  }
  if (rule->access == PathAccess::hide) {
    return fail("use the working directory", shown,
                fmt::format("{} hides {}", rule->origin.text(), escape_for_terminal(rule->path)));
  }
  if (force) return {};
  for (const PathRule& hidden : rules.rules()) {
    if (hidden.access == PathAccess::hide && hidden.type != FileType::missing &&
        path_is_beneath(hidden.path, plan.cwd) && !is_meant_for_cwd(hidden)) {
      return fail("use the working directory", shown,
                  fmt::format("{} in it is hidden by {}", escape_for_terminal(hidden.path),
                              hidden.origin.text()),
                  kCwdHint);
    }
  }
  return {};
}

/// Finds the command and what it needs to run.
tl::expected<void, CompileError> compile_command(const Command& command, const HostFacts& facts,
                                                 Resolver& resolver, RuleSet& rules, Plan& plan) {
  std::string_view search_path = facts.variable("PATH");
  for (const EnvironmentVariable& variable : plan.environment) {
    if (variable.name == "PATH") search_path = variable.value;
  }
  if (search_path.empty()) search_path = "/usr/local/bin:/usr/bin:/bin";
  grant_path_directories(rules, resolver, search_path, facts.home);
  if (command.argv.empty()) return {};
  const std::string& name = command.argv.front();
  bool not_executable = false;
  std::string program = find_program(resolver, name, search_path, plan.cwd, not_executable);
  if (program.empty()) {
    int err = not_executable ? EACCES : ENOENT;
    Error error{"run", name.empty() ? "\"\"" : escape_for_terminal(name), err, {}, {}};
    if (err == ENOENT && name.find('/') == name.npos)
      error.hint = "PATH is " + escape_for_terminal(search_path);
    return tl::unexpected(CompileError{error, not_executable ? 126 : 127});
  }
  grant_install_tree(rules, resolver, program, search_path, facts.home);
  plan.spec.executable = program;
  plan.spec.argv = command.argv;
  const PathRule* rule = rules.decide(resolver.resolve(program).path);
  if (rule != nullptr && rule->access == PathAccess::hide) {
    Error error{"run",
                escape_for_terminal(program),
                EACCES,
                fmt::format("{} hides {}", rule->origin.text(), escape_for_terminal(rule->path)),
                {}};
    return tl::unexpected(CompileError{error, 126});
  }
  return {};
}

void compile_limits(const Profile& profile, Plan& plan) {
  struct Row {
    const profiles::Setting<std::optional<std::uint64_t>>& setting;
    int resource;
  };
  const Row rows[] = {{profile.limit_nofile, RLIMIT_NOFILE},
                      {profile.limit_nproc, RLIMIT_NPROC},
                      {profile.limit_fsize, RLIMIT_FSIZE},
                      {profile.limit_as, RLIMIT_AS}};
  for (const Row& row : rows) {
    if (row.setting.value) plan.spec.limits.push_back({row.resource, *row.setting.value});
  }
  plan.limit_values = profiles::list_values(profile, "limits");
  if (profile.limit_nproc.value && plan.spec.uid == 0)
    plan.warnings.push_back({"limits.nproc: the kernel does not count root's processes against it",
                             profile.limit_nproc.origin});
}

/// Those of `paths` that are not beneath another one, sorted.
std::vector<std::string> outermost(std::vector<std::string> paths) {
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> out;
  for (std::string& path : paths) {
    const bool within = std::any_of(out.begin(), out.end(), [&](const std::string& other) {
      return path_is_beneath(path, other);
    });
    if (!within) out.push_back(std::move(path));
  }
  return out;
}

/// Where the sandbox may write files on the host.
std::vector<std::string> writable_places(const Plan& plan) {
  std::vector<std::string> out;
  for (const PathRule& rule : plan.rules) {
    if (rule.access != PathAccess::write) continue;
    const std::string path = map_to_host(plan, rule.path).value_or(rule.path);
    if (rule.type == FileType::directory) out.push_back(path);
    if (rule.type == FileType::regular) out.push_back(path_parent(path));
  }
  return outermost(std::move(out));
}

/// Where a git of the host may read its configuration beside that of a repository (git-config(1),
/// FILES): also a git that was started with other variables than these.
std::vector<std::string> git_configs(const HostFacts& facts) {
  std::vector<std::string> out{"/etc/gitconfig", path_join(facts.home, ".gitconfig"),
                               path_join(facts.home, ".config/git/config")};
  const std::string_view xdg = facts.variable("XDG_CONFIG_HOME");
  if (xdg.starts_with('/')) out.push_back(path_join(xdg, "git/config"));
  for (const char* name : {"GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL"}) {
    if (facts.variable(name).starts_with('/')) out.emplace_back(facts.variable(name));
  }
  return out;
}

/// What the sandbox may write, by its outermost directories.
Result<void> compile_guard(const Profile& profile, const HostFacts& facts, Plan& plan) {
  plan.guard.mode = static_cast<guard::Mode>(profile.guard.value);
  plan.guard.places = writable_places(plan);
  plan.guard.home = facts.home;
  plan.guard.configs = git_configs(facts);
  if (plan.guard.mode == guard::Mode::off) {
    plan.waivers.push_back(
        {"guard: off, what is planted for the host to execute stays", profile.guard.origin});
    return {};
  }
  if (plan.guard.mode == guard::Mode::report) {
    plan.waivers.push_back(
        {"guard: report, what is planted for the host to execute is told and stays",
         profile.guard.origin});
  }
  std::vector<std::string> written, found;  // inside, and on the host: another one by swarm_state
  for (const PathRule& rule : plan.rules) {
    if (rule.access != PathAccess::write || rule.type != FileType::directory) continue;
    written.push_back(rule.path);
    found.push_back(map_to_host(plan, rule.path).value_or(rule.path));
  }
  for (const PathRule& rule : plan.rules) {
    const bool within = rule.access == PathAccess::hide &&
                        std::any_of(written.begin(), written.end(), [&](std::string_view tree) {
                          return path_is_beneath(rule.path, tree);
                        });
    if (within) plan.guard.hidden.push_back(map_to_host(plan, rule.path).value_or(rule.path));
  }
  plan.guard.trees = outermost(std::move(found));
  if (plan.guard.mode != guard::Mode::enforce) return {};
  if (profile.nested_userns.value) {
    return fail("enforce the guard", profile.guard.origin.text(),
                "with nested_userns a program inside can have another file tree than the one in "
                "which names are checked",
                "guard = \"quarantine\"");
  }
  plan.spec.guarded = outermost(std::move(written));
  return {};
}

Result<void> compile_layers(const Profile& profile, const HostFacts& facts, Plan& plan) {
  plan.spec.own_network = profile.network_mode.value != NetworkMode::host;
  plan.spec.nested_userns = profile.nested_userns.value;
  plan.spec.landlock = true;
  plan.landlock_abi = facts.landlock_abi;
  if (plan.spec.nested_userns) {
    plan.spec.landlock = false;
    plan.waivers.push_back({"landlock: off, it would forbid the mounts that nested_userns allows",
                            profile.nested_userns.origin});
    plan.waivers.push_back(
        {"nested_userns: user namespaces can be made inside, with more kernel in reach",
         profile.nested_userns.origin});
  } else if (facts.landlock_abi == 0) {
    if (!profile.landlock_optional.value) {
      return fail("use Landlock", profile.landlock_optional.origin.text(),
                  "this kernel does not offer it",
                  "add landlock to lsm= on the kernel command line, or accept its absence with "
                  "[require] landlock = \"optional\"");
    }
    plan.spec.landlock = false;
    plan.waivers.push_back(
        {"landlock: off, this kernel does not offer it", profile.landlock_optional.origin});
  }
  if (!plan.spec.own_network) {
    plan.waivers.push_back(
        {"network: the host's own, nothing is filtered", profile.network_mode.origin});
  }
  return {};
}

/// The grants are those of the working directory; the command starts in another one that the
/// sandbox shows.
Result<void> compile_chdir(const Command& command, Resolver& resolver, Plan& plan) {
  const std::string& asked = command.chdir;
  if (asked.empty()) return {};
  const bool home = asked == "~" || asked.starts_with("~/");
  const auto found =
      resolver.resolve(home ? plan.home + asked.substr(1) : path_join(plan.cwd, asked));
  if (!map_to_host(plan, found.path)) {
    if (found.stat.err != 0)
      return fail_errno("start in", escape_for_terminal(asked), found.stat.err);
    return fail("start in", escape_for_terminal(asked),
                "the sandbox shows no such directory of the host",
                "it must be within what the profile grants");
  }
  plan.spec.cwd = found.path;
  return {};
}

}  // namespace

Result<seccomp::Policy> compile_syscalls(const Profile& profile, seccomp::Observe observe,
                                         bool enforce) {
  seccomp::PolicyInput input;
  for (const auto& entry : profile.syscalls_allow)
    input.allow.push_back({entry.text, entry.origin});
  for (const auto& entry : profile.syscalls_deny) input.deny.push_back({entry.text, entry.origin});
  for (const auto& rule : profile.syscall_rules) {
    input.rules.push_back({rule.syscall, rule.when, rule.action, rule.origin});
  }
  input.nested_userns = profile.nested_userns.value;
  input.nested_userns_origin = profile.nested_userns.origin;
  input.observe = observe;
  input.enforce = enforce;
  return seccomp::compile_policy(input);
}

const PathRule* find_rule(const Plan& plan, std::string_view path) {
  const auto missing =
      std::partition_point(plan.rules.begin(), plan.rules.end(),
                           [](const PathRule& rule) { return rule.type != FileType::missing; });
  // These are many, and nearly always of other places.
  const PathRule* nearest = nullptr;
  for (auto rule = missing; rule != plan.rules.end(); ++rule) {
    if ((nearest == nullptr || rule->path.size() > nearest->path.size()) &&
        path_is_beneath(path, rule->path)) {
      nearest = &*rule;
    }
  }
  for (std::string_view at = path;;) {
    const auto found = std::lower_bound(
        plan.rules.begin(), missing, at,
        [](const PathRule& rule, std::string_view wanted) { return rule.path < wanted; });
    if (found != missing && found->path == at) return &*found;
    if (nearest != nullptr && nearest->path == at) return nearest;
    const std::size_t slash = at.rfind('/');
    if (at == "/" || slash == at.npos) return nullptr;
    at = at.substr(0, std::max(slash, std::size_t{1}));
  }
}

tl::expected<Plan, CompileError> compile(const Profile& profile, const HostFacts& facts,
                                         const Command& command) {
  auto failed = [](Error error) { return tl::unexpected(CompileError{std::move(error), 125}); };
  Plan plan;
  plan.profile = profile.name;
  plan.chain = profile.chain;
  plan.session = facts.session;
  plan.checks = profile.verify;
  Resolver resolver(*facts.files);
  if (auto cwd = find_cwd(resolver, facts)) {
    plan.cwd = *cwd;
  } else {
    return failed(cwd.error());
  }
  plan.home = resolver.resolve(facts.home).path;
  plan.project = find_project(resolver, plan.cwd, plan.home);
  plan.spec.uid = facts.uid;
  plan.spec.gid = facts.gid;
  plan.spec.hostname = profile.hostname.value;
  plan.spec.cwd = plan.cwd;

  if (auto done = compile_layers(profile, facts, plan); !done) return failed(done.error());
  Places places{
      facts.home, plan.cwd, plan.project, claude_project_directory(facts.home, plan.cwd), {}};
  std::string account_home =
      facts.account_home.empty() ? "" : resolver.resolve(facts.account_home).path;
  if (account_home != plan.home) places.account_home = account_home;
  if (!command.force_cwd) {
    if (auto done = check_cwd_place(plan, places); !done) return failed(done.error());
  }
  RuleSet rules(resolver, facts, places, plan);
  if (auto done = rules.add_profile(profile, command.force_cwd); !done) return failed(done.error());
  if (auto done = compile_network(profile, facts, command, plan); !done)
    return failed(done.error());
  if (auto done = rules.add_worktree(plan.project); !done) return failed(done.error());
  rules.keep_links(resolver.resolve(facts.home));
  if (!command.argv.empty() || !command.force_cwd) {
    if (auto done = check_cwd(plan, rules, command.force_cwd); !done) return failed(done.error());
  }
  compile_environment(profile, facts, plan);
  if (auto done = compile_command(command, facts, resolver, rules, plan); !done) {
    return tl::unexpected(done.error());
  }
  note_inner_sandbox(facts, plan);
  rules.sort();
  if (auto done = compile_tree(profile, facts, resolver, rules, plan); !done)
    return failed(done.error());
  if (auto done = compile_swarm(profile, facts, resolver, rules, plan); !done)
    return failed(done.error());
  if (auto done = compile_excluded(profile, facts, resolver, plan); !done)
    return failed(done.error());
  if (auto done = compile_chdir(command, resolver, plan); !done) return failed(done.error());
  plan.rules = rules.take();
  if (auto done = compile_docker(profile, facts, resolver, plan); !done)
    return failed(done.error());
  if (auto done = compile_guard(profile, facts, plan); !done) return failed(done.error());
  compile_limits(profile, plan);
  // A sandbox inside this one needs a listener of its own, and the kernel grants one.
  if (!profile.nested_userns.value) plan.observe = profile.observe.value;
  auto syscalls = compile_syscalls(profile, plan.observe, !plan.spec.guarded.empty());
  if (!syscalls) return failed(syscalls.error());
  plan.syscalls = std::move(*syscalls);
  add_policy_files(profile, plan);
  return plan;
}

}  // namespace dirbox::plan
