#include "launcher/plan/excluded.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/broker/tmux/grammar.h"
#include "launcher/plan/docker.h"

namespace dirbox::plan {
namespace {

using broker::Mode;
using sandbox::Mount;
using sandbox::MountKind;

constexpr std::string_view kUsualPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::vector<std::string> entries_of(std::string_view search_path) {
  std::vector<std::string> out;
  while (!search_path.empty()) {
    const std::size_t colon = std::min(search_path.find(':'), search_path.size());
    std::string entry(search_path.substr(0, colon));
    search_path.remove_prefix(std::min(colon + 1, search_path.size()));
    if (entry.starts_with('/') && std::find(out.begin(), out.end(), entry) == out.end())
      out.push_back(std::move(entry));
  }
  return out;
}

bool is_beneath_any(std::string_view path, const std::vector<std::string>& roots) {
  return std::any_of(roots.begin(), roots.end(),
                     [&](const std::string& root) { return path_is_beneath(path, root); });
}

/// The same directory may be mounted at several places of the host.
void add_aliases(const HostFacts& facts, const std::string& root, std::vector<std::string>& out) {
  const MountPoint* holder = nullptr;
  for (const MountPoint& mount : facts.mounts) {
    if (path_is_beneath(root, mount.point) &&
        (holder == nullptr || mount.point.size() >= holder->point.size())) {
      holder = &mount;
    }
  }
  if (holder == nullptr) return;
  const std::string inner =
      path_normalize(path_join(holder->root, path_relative(root, holder->point)));
  for (const MountPoint& mount : facts.mounts) {
    if (&mount == holder || mount.device != holder->device) continue;
    if (path_is_beneath(inner, mount.root)) {
      out.push_back(path_normalize(path_join(mount.point, path_relative(inner, mount.root))));
    } else if (path_is_beneath(mount.root, inner)) {
      out.push_back(mount.point);
    }
  }
}

/// What of the host the sandbox can write, under every name.
std::vector<std::string> find_writable_roots(const HostFacts& facts, const Plan& plan) {
  std::vector<std::string> roots;
  for (const Mount& mount : plan.spec.mounts) {
    if (mount.kind != MountKind::bind || !mount.writable || mount.devices) continue;
    roots.push_back(mount.source);
    add_aliases(facts, mount.source, roots);
  }
  return roots;
}

/// The mount that shows `path` inside; nullptr: the root.
const Mount* find_cover(const Plan& plan, std::string_view path) {
  const Mount* best = nullptr;
  for (const Mount& mount : plan.spec.mounts) {
    if (path_is_beneath(path, mount.target) &&
        (best == nullptr || mount.target.size() >= best->target.size())) {
      best = &mount;
    }
  }
  return best;
}

class Compiler {
 public:
  Compiler(const HostFacts& facts, Resolver& resolver, Plan& plan)
      : facts_(facts), resolver_(resolver), plan_(plan) {}

  Result<void> add(const profiles::Excluded& record) {
    if (record.mode == Mode::inside) {
      add_inside(record);
      return {};
    }
    if (is_filtered_docker(record)) return {};
    if (record.mode == Mode::filter) {
      return fail("exclude a command", record.origin.text(),
                  fmt::format("this mode is not available for {}", record.command),
                  "choose another mode; \"host\" amounts to no sandbox");
    }
    Excluded out;
    out.program = find_program(record.command);
    if (out.program.empty()) return add_missing(record);
    out.policy = TRY(make_policy(record));
    out.sessions = record.sessions;
    if (record.mode == Mode::grammar) {
      if (out.sessions.empty()) out.sessions = {"swarm-*"};  // swarm's own
      out.profile = record.profile;
      out.refused = why_refused();
      out.no_panes = why_no_panes(out);
      if (!out.refused.empty()) {
        plan_.notes.push_back({"tmux is refused: " + out.refused, record.origin});
      } else if (!out.no_panes.empty()) {
        plan_.notes.push_back({"tmux opens no panes: " + out.no_panes, record.origin});
      }
    }
    if (record.mode == Mode::host) announce(out.policy);
    place_shims(record);
    plan_.excluded.push_back(std::move(out));
    return {};
  }

  /// PATH of host commands: what the sandbox cannot change.
  std::string safe_path() {
    std::string out;
    for (const std::string& entry : entries_of(facts_.variable("PATH"))) {
      if (is_planted(resolver_.resolve(entry))) continue;
      out += (out.empty() ? "" : ":") + entry;
    }
    return out;
  }

 private:
  bool is_planted(const Resolver::Resolution& found) const {
    return is_beneath_any(found.path, plan_.writable_roots) ||
           std::any_of(found.hops.begin(), found.hops.end(), [&](const Resolver::Hop& hop) {
             return is_beneath_any(hop.path, plan_.writable_roots);
           });
  }

  std::string find_program(const std::string& name) {
    for (const std::string& entry : entries_of(facts_.variable("PATH"))) {
      std::string candidate = path_join(entry, name);
      const Resolver::Resolution found = resolver_.resolve(candidate);
      if (found.stat.type != FileType::regular || (found.stat.mode & 0111) == 0) continue;
      if (!is_planted(found)) return candidate;
    }
    return {};
  }

  /// What runs inside is reached from the host with `dirbox attach`.
  void add_inside(const profiles::Excluded& record) {
    if (record.command == "tmux") {
      plan_.spec.attach = {"tmux", "attach-session"};
    } else if (plan_.spec.attach.empty()) {
      plan_.spec.attach = {"/bin/sh"};
    }
  }

  Result<void> add_missing(const profiles::Excluded& record) {
    if (record.origin.line == 0) {
      return fail_errno(record.origin.text(), escape_for_terminal(record.command), ENOENT,
                        "it is in no directory of PATH outside what the sandbox can write");
    }
    plan_.notes.push_back(
        {fmt::format("{} is not excluded: the host does not have it", record.command),
         record.origin});
    return {};
  }

  static Result<broker::Policy> make_policy(const profiles::Excluded& record) {
    broker::Policy policy;
    policy.command = record.command;
    policy.mode = record.mode;
    policy.env = record.env;
    policy.max_concurrent = static_cast<unsigned>(record.max_concurrent);
    policy.timeout = std::chrono::seconds(record.timeout);
    policy.origin = record.origin;
    for (const profiles::ArgvRule& rule : record.allow) {
      policy.allow.push_back(TRY(broker::parse_rule(record.command, broker::RuleKind::allow,
                                                    rule.text, rule.origin, rule.reason)));
    }
    for (const profiles::ArgvRule& rule : record.deny) {
      policy.deny.push_back(TRY(broker::parse_rule(record.command, broker::RuleKind::deny,
                                                   rule.text, rule.origin, rule.reason)));
    }
    return policy;
  }

  /// This program asks tmux on the host, and starts in panes. Empty where the sandbox cannot change
  /// it.
  std::string why_refused() {
    if (facts_.self.empty() || !is_planted(resolver_.resolve(facts_.self))) return {};
    return fmt::format(
        "{}, which asks tmux, lies in a directory that the sandbox can write (install dirbox)",
        escape_for_terminal(facts_.self));
  }

  /// Panes read the profile again. Empty where the sandbox cannot change it.
  std::string why_no_panes(const Excluded& excluded) {
    const std::vector<std::string> own{excluded.profile};
    for (const std::string& file : excluded.profile.empty() ? plan_.chain : own) {
      // A project's file widens only with the user's trust in its content.
      if (path_name(file) == ".dirbox.toml") continue;
      const std::string path = path_join(plan_.cwd, file);
      if (file.find('/') == file.npos || !is_planted(resolver_.resolve(path))) continue;
      return fmt::format(
          "the sandbox can change the profile {} (keep profiles in ~/.config/dirbox)",
          escape_for_terminal(path));
    }
    // The plan of a pane would find nothing to hide where it was.
    for (const Mount& mask : plan_.spec.mounts) {
      const bool hides =
          mask.kind == MountKind::mask || (mask.kind == MountKind::tmpfs && !mask.in_root);
      if (!hides) continue;
      const Mount* cover = find_cover(plan_, path_parent(mask.target));
      if (cover == nullptr || cover->kind != MountKind::bind || !cover->writable ||
          path_parent(mask.target) == cover->target)
        continue;
      return fmt::format("{} hides {} deep in what can be written: the sandbox could move it away",
                         mask.origin.text(), escape_for_terminal(mask.target));
    }
    return {};
  }

  void announce(const broker::Policy& policy) {
    const bool ruled = !policy.allow.empty() || !policy.deny.empty();
    plan_.waivers.push_back(
        {ruled ? fmt::format("{} runs on the host, with your rights, where its rules permit it",
                             policy.command)
               : fmt::format("{} runs on the host, with your rights and any arguments: this "
                             "amounts to no sandbox",
                             policy.command),
         policy.origin});
  }

  void place_shims(const profiles::Excluded& record) {
    Mount shim;
    shim.kind = MountKind::shim;
    shim.target = path_join(kShimDirectory, record.command);
    shim.source = record.command;
    shim.is_directory = false;
    shim.mode = 0755;
    shim.origin = record.origin;
    plan_.spec.mounts.push_back(shim);
    std::string inside;
    for (const EnvironmentVariable& variable : plan_.environment) {
      if (variable.name == "PATH") inside = variable.value;
    }
    const std::string all =
        inside + ":" + std::string(facts_.variable("PATH")) + ":" + std::string(kUsualPath);
    std::vector<std::string> covered;
    for (const std::string& entry : entries_of(all)) {
      const Resolver::Resolution found = resolver_.resolve(path_join(entry, record.command));
      if (found.stat.type != FileType::regular || path_name(found.path) != record.command ||
          std::find(covered.begin(), covered.end(), found.path) != covered.end()) {
        continue;
      }
      const Mount* cover = find_cover(plan_, found.path);
      if (cover == nullptr || cover->kind != MountKind::bind || is_planted(found)) continue;
      shim.target = found.path;
      shim.in_root = false;
      shim.id = found.stat.id;
      plan_.spec.mounts.push_back(shim);
      covered.push_back(found.path);
    }
  }

  const HostFacts& facts_;
  Resolver& resolver_;
  Plan& plan_;
};

void use_shims(Plan& plan) {
  const std::string directory(kShimDirectory);
  plan.spec.landlock_rules.push_back({directory, sandbox::Access::read});
  const auto path =
      std::find_if(plan.environment.begin(), plan.environment.end(),
                   [](const EnvironmentVariable& variable) { return variable.name == "PATH"; });
  if (path == plan.environment.end()) {
    plan.environment.push_back(
        {"PATH", directory + ":/usr/local/bin:/usr/bin:/bin", Origin{"built in", 0, 0}});
    plan.spec.environment.push_back("PATH=" + plan.environment.back().value);
  } else {
    path->value = path->value.empty() ? directory : directory + ":" + path->value;
    for (std::string& variable : plan.spec.environment) {
      if (variable.starts_with("PATH=")) variable = "PATH=" + path->value;
    }
  }
  if (plan.spec.argv.empty()) return;
  for (const Excluded& excluded : plan.excluded) {
    if (plan.spec.argv.front() == excluded.policy.command)
      plan.spec.executable = path_join(directory, excluded.policy.command);
  }
}

}  // namespace

Result<void> compile_excluded(const profiles::Profile& profile, const HostFacts& facts,
                              Resolver& resolver, Plan& plan) {
  if (profile.excluded.empty()) return {};
  plan.writable_roots = find_writable_roots(facts, plan);
  Compiler compiler(facts, resolver, plan);
  for (const profiles::Excluded& record : profile.excluded) TRY_VOID(compiler.add(record));
  if (plan.excluded.empty()) return {};
  plan.host_path = compiler.safe_path();
  use_shims(plan);
  return {};
}

std::optional<std::string> map_to_host(const Plan& plan, std::string_view path) {
  const std::string normal = path_normalize(path);
  if (normal != path) return std::nullopt;
  const Mount* cover = find_cover(plan, normal);
  if (cover == nullptr || cover->kind != MountKind::bind || !cover->is_directory)
    return std::nullopt;
  return normal == cover->target ? cover->source
                                 : path_join(cover->source, path_relative(normal, cover->target));
}

broker::Decision decide_excluded(const Excluded& excluded, std::span<const std::string> arguments) {
  if (!excluded.refused.empty()) return {false, {}, excluded.policy.origin, excluded.refused};
  broker::Decision decision = broker::decide(excluded.policy, arguments);
  if (excluded.policy.mode != Mode::grammar || !decision.allowed) return decision;
  const auto request = broker::tmux::parse_request(arguments);
  std::string refusal;
  if (!request) {
    refusal = request.error().operand + ": " + request.error().detail;
  } else if (request->verb.starts_with("new-") && !excluded.no_panes.empty()) {
    refusal = request->verb + ": " + excluded.no_panes;
  }
  if (refusal.empty()) return decision;
  return {false, {}, excluded.policy.origin, std::move(refusal)};
}

ExecAnswer explain_exec(const Plan& plan, std::span<const std::string> argv) {
  ExecAnswer answer;
  if (argv.empty()) return answer;
  const std::string& asked = argv.front();
  const auto found =
      std::find_if(plan.excluded.begin(), plan.excluded.end(), [&](const Excluded& excluded) {
        if (asked.find('/') == asked.npos) return asked == excluded.policy.command;
        return std::any_of(
            plan.spec.mounts.begin(), plan.spec.mounts.end(), [&](const Mount& mount) {
              return mount.kind == MountKind::shim && mount.source == excluded.policy.command &&
                     mount.target == asked;
            });
      });
  const std::string shown = escape_for_terminal(asked);
  if (found == plan.excluded.end()) {
    answer.text = shown + " runs inside: it is not excluded";
    return answer;
  }
  answer.decision = decide_excluded(*found, argv.subspan(1));
  const std::string origin = answer.decision.origin.text();
  if (!answer.decision.allowed) {
    answer.verdict = ExecAnswer::Verdict::refused;
    answer.text = shown + " is " + escape_for_terminal(broker::explain_refusal(answer.decision));
    return answer;
  }
  answer.verdict = ExecAnswer::Verdict::host;
  answer.text =
      fmt::format("{} runs on the host as {}", shown, escape_for_terminal(found->program));
  if (!answer.decision.rule.empty())
    answer.text += fmt::format(", by the rule \"{}\"", escape_for_terminal(answer.decision.rule));
  if (!origin.empty()) answer.text += fmt::format(" ({})", origin);
  return answer;
}

}  // namespace dirbox::plan
