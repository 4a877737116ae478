#include "launcher/plan/question.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/guard/foresee.h"

namespace dirbox::plan {
namespace {

using sandbox::Access;

constexpr std::string_view kNoDirectory = ", and its directory is not there inside";
constexpr std::string_view kNotOutside = "you could not do it outside either";

std::string make_absolute(const Plan& plan, std::string_view text) {
  if (text == "~") return plan.home;
  if (text.starts_with("~/")) return path_join(plan.home, text.substr(2));
  return path_join(plan.cwd, text);
}

void set_never(Answer& answer, std::string_view reason) {
  if (!answer.never.empty()) return;
  answer.cure.clear();
  answer.toml.clear();
  answer.never = reason;
}

/// The nearest directory above `path` that there is.
std::string find_ancestor(Resolver& resolver, const std::string& path) {
  std::string at = path_parent(path);
  while (at != "/" && resolver.resolve(at).stat.type == FileType::missing) at = path_parent(at);
  return at;
}

/// Of dirbox's init, which is not dumpable: proc(5), "ptrace access mode".
bool is_closed_of_init(std::string_view path) {
  constexpr std::string_view kClosed[] = {
      "auxv", "clear_refs",  "cwd",       "environ", "exe",       "fd",           "fdinfo",
      "io",   "maps",        "map_files", "mem",     "numa_maps", "ns",           "pagemap",
      "root", "personality", "smaps",     "stack",   "syscall",   "smaps_rollup", "timers"};
  if (!path_is_beneath(path, "/proc/1") || path == "/proc/1") return false;
  const auto parts = path_components(path_relative(path, "/proc/1"));
  const std::size_t at = parts.front() == "task" ? 2 : 0;
  return at < parts.size() &&
         std::find(std::begin(kClosed), std::end(kClosed), parts[at]) != std::end(kClosed);
}

bool is_printable(std::string_view word) { return escape_for_terminal(word) == word; }

class PathQuestion {
 public:
  PathQuestion(const Ground& ground, Want want)
      : plan_(ground.plan), tree_(ground.plan), ground_(ground), want_(want) {}

  Answer ask(std::string_view text) {
    const std::string asked = make_absolute(plan_, text);
    if (is_closed_of_init(path_normalize(asked))) return refuse_init(path_normalize(asked));
    const Resolver::Resolution found = ground_.resolver.resolve(asked);
    if (found.stat.err == ELOOP) return refuse_loop(found.path);
    const bool exists = found.stat.type != FileType::missing;
    Answer answer = exists ? ask_existing(found) : ask_missing(found);
    if (!answer.never.empty()) return answer;
    if (answer.allowed && want_ == Want::write && tree_.is_of_host(found.path))
      foresee_guard(answer, found);
    for (const Resolver::Hop& hop : found.hops) {
      if (auto refused = refuse_hop(hop, asked)) return std::move(*refused);
    }
    return answer;
  }

 private:
  static Answer refuse_init(const std::string& path) {
    Answer answer;
    answer.subject = path;
    answer.layer = "none";
    answer.cause = "closed";
    answer.detail = "process 1 is dirbox's own, and nothing inside can look into it";
    answer.never = "an option would not open it";
    return answer;
  }

  Answer refuse_loop(const std::string& path) const {
    Answer answer;
    answer.subject = path;
    answer.layer = "none";
    answer.cause = "loop";
    answer.detail = "its symlinks lead in a circle";
    answer.never = kNotOutside;
    return answer;
  }

  /// What the guard does about it.
  void foresee_guard(Answer& answer, const Resolver::Resolution& found) const {
    if (found.stat.type == FileType::directory) return;
    const auto foreseen = guard::foresee(plan_.guard, found.path);
    if (!foreseen) return;
    const std::string what =
        foreseen->whole ? "it" : "what makes a program of the host execute something";
    switch (plan_.guard.mode) {
      case guard::Mode::off:
        return;
      case guard::Mode::report:
        answer.detail += fmt::format("; the guard reports {}: {}", what, foreseen->why);
        return;
      case guard::Mode::quarantine:
        answer.detail += fmt::format("; the guard undoes {}: {}", what, foreseen->why);
        return;
      case guard::Mode::enforce:
        break;
    }
    if (!foreseen->whole) {
      answer.detail += fmt::format("; the guard refuses {}: {}", what, foreseen->why);
      return;
    }
    answer.allowed = false;
    answer.layer = "guard";
    answer.cause = "guarded-name";
    answer.detail = foreseen->why;
    answer.toml = "filesystem.guard = \"quarantine\"";
  }

  /// A symlink that is not there inside leads nowhere. A grant of `asked` shows it as well.
  std::optional<Answer> refuse_hop(const Resolver::Hop& hop, const std::string& asked) const {
    Answer answer = tree_.explain(hop.path, Want::read, {asked, FileType::symlink}, true);
    if (answer.allowed) return std::nullopt;
    answer.detail += ", and it is a symlink on the way";
    if (want_ == Want::write && !answer.cure.empty()) {
      answer.cure = "--write " + shell_quote(asked);
      answer.toml = fmt::format("filesystem.write = [{}]", Json(asked).dump());
    }
    return answer;
  }

  Answer ask_existing(const Resolver::Resolution& found) const {
    // What is written in a private directory is another file than the host's, and a directory that
    // the sandbox makes there is another directory.
    const bool made = found.stat.type == FileType::directory && tree_.is_made(found.path);
    const bool of_host = !ground_.inside && (want_ == Want::write ? tree_.lacks_parent(found.path)
                                                                  : !made || is_hidden(found.path));
    Answer answer = tree_.explain(found.path, want_, {found.path, found.stat.type}, of_host);
    const bool possible = ground_.may(found.path, want_);
    if (ground_.inside) return ask_inside(std::move(answer), possible);
    if (!answer.allowed) {
      if (want_ == Want::write && of_host) answer.detail += kNoDirectory;
      if (!possible) set_never(answer, kNotOutside);
    } else if (tree_.is_of_host(found.path) && !possible) {
      refuse_by_mode(answer);
    } else if (!tree_.private_directory(found.path).empty()) {
      answer.detail += "; the host's own is not shown";
    }
    return answer;
  }

  /// The policy's file names nothing that is hidden, but one sees whether it can be had.
  Answer ask_inside(Answer answer, bool possible) const {
    if (!answer.allowed || possible) return answer;
    answer.allowed = false;
    answer.cause = "closed";
    answer.detail = "it lies in what is granted, but is hidden, protected, or closed by its mode";
    answer.never = "an option would not open it";
    return answer;
  }

  Answer ask_missing(const Resolver::Resolution& found) {
    if (ground_.inside) return ask_absent(found.path);
    const std::string above = find_ancestor(ground_.resolver, found.path);
    const std::string parent = path_parent(found.path);
    const bool lacks_parent = want_ == Want::write && tree_.lacks_parent(found.path);
    // Where the host has the directory, what is written there is meant for the host.
    const bool of_host =
        want_ == Want::write ? lacks_parent && parent == above : is_hidden(found.path);
    Answer answer = tree_.explain(found.path, want_, {above, FileType::directory}, of_host);
    if (want_ != Want::write) {
      if (answer.allowed) {
        const bool private_there = !tree_.private_directory(found.path).empty();
        answer.detail += private_there ? "; what is there was made inside" : "; nothing is there";
      } else {
        // What stands above it is of no interest then, but that it is hidden is.
        if (answer.cause == "absent") answer.never.clear();
        set_never(answer, found.stat.err == EACCES ? kNotOutside : "there is no such file");
      }
      return answer;
    }
    const bool possible = ground_.may(above, Want::write);
    if (of_host && !answer.allowed) answer.detail += kNoDirectory;
    if (answer.allowed) {
      if (lacks_parent) answer.detail += "; its directory has to be made first";
      if (tree_.is_of_host(found.path) && !possible) refuse_by_mode(answer);
    } else if (!possible) {
      set_never(answer, kNotOutside);
    } else if (parent != above && !answer.cure.empty()) {
      answer.cure.clear();
      answer.toml =
          fmt::format("filesystem.write = [{{ path = {}, create = true }}]", Json(parent).dump());
    }
    return answer;
  }

  /// Inside: what is not there may be on the host.
  Answer ask_absent(const std::string& path) const {
    Answer answer = tree_.explain(path, want_, {path, FileType::regular}, want_ != Want::write);
    if (!answer.allowed && answer.cause == "absent") {
      answer.detail = "it is not granted, or it is hidden, and then no option grants it";
    } else if (answer.allowed && want_ != Want::write) {
      answer.detail += "; nothing is there";
    }
    return answer;
  }

  bool is_hidden(const std::string& path) const {
    const PathRule* rule = find_rule(plan_, path);
    return rule != nullptr && rule->access == PathAccess::hide;
  }

  static void refuse_by_mode(Answer& answer) {
    answer.allowed = false;
    answer.layer = "none";
    answer.cause = "mode";
    answer.detail += ", but its own mode refuses you";
    set_never(answer, kNotOutside);
  }

  const Plan& plan_;
  const TreeView tree_;
  const Ground& ground_;
  const Want want_;
};

std::string join_shell(std::span<const std::string> words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + shell_quote(word);
  return out;
}

/// The programs that execvp(3) tries, in order.
std::vector<std::string> list_candidates(const Plan& plan, const std::string& name) {
  if (name.find('/') != name.npos) return {path_join(plan.cwd, name)};
  std::string_view search = "/usr/local/bin:/usr/bin:/bin";
  for (const EnvironmentVariable& variable : plan.environment) {
    if (variable.name == "PATH") search = variable.value;
  }
  std::vector<std::string> out;
  while (!search.empty()) {
    const std::size_t colon = std::min(search.find(':'), search.size());
    const std::string_view entry = search.substr(0, colon);
    search.remove_prefix(std::min(colon + 1, search.size()));
    out.push_back(path_join(path_join(plan.cwd, entry), name));
  }
  return out;
}

/// Of a program that is not excluded.
Answer explain_program(const Ground& ground, const std::string& name) {
  std::optional<Answer> refused;
  for (const std::string& candidate : list_candidates(ground.plan, name)) {
    const FileStat stat = ground.resolver.resolve(candidate).stat;
    // Without the bit the shell looks on in PATH, and refuses what was named.
    const bool executable = (stat.mode & 0111) != 0 || name.find('/') != name.npos;
    if (stat.type != FileType::regular || !executable) continue;
    Answer answer = explain_path(ground, candidate, Want::exec);
    if (answer.allowed) {
      answer.detail = fmt::format("{} runs inside, under the same rules", answer.subject);
      return answer;
    }
    answer.detail = fmt::format("{}: {}", answer.subject, answer.detail);
    if (!refused) refused = std::move(answer);
  }
  if (refused) return *refused;
  Answer answer;
  answer.layer = "none";
  answer.cause = "absent";
  answer.detail = "PATH inside leads to no such program";
  answer.never = "there is no such program";
  return answer;
}

/// The rule for these arguments and no others; nullopt where a word would mean more in a rule.
std::optional<std::string> rule_words(std::span<const std::string> arguments) {
  std::string out;
  for (const std::string& word : arguments) {
    if (word.empty() || word == "..." || word.find_first_of("*<>[]'\\") != word.npos ||
        !is_printable(word)) {
      return std::nullopt;
    }
    const bool plain = word.find_first_of(" \t") == word.npos;
    out += (out.empty() ? "" : " ") + (plain ? word : "'" + word + "'");
  }
  return out;
}

std::string rules_toml(const std::vector<broker::Rule>& rules) {
  std::string out;
  for (const broker::Rule& rule : rules) {
    if (!out.empty()) out += ", ";
    const std::string text = Json(rule.text).dump();
    out += rule.reason.empty()
               ? text
               : fmt::format("{{ rule = {}, reason = {} }}", text, Json(rule.reason).dump());
  }
  return out;
}

}  // namespace

Answer explain_path(const Ground& ground, std::string_view text, Want want) {
  return PathQuestion(ground, want).ask(text);
}

void add_excluded_cure(Answer& answer, const Excluded& excluded, const broker::Decision& decision,
                       std::span<const std::string> arguments) {
  const broker::Policy& policy = excluded.policy;
  if (!excluded.refused.empty()) {
    answer.never = "not from this copy of dirbox: what asks tmux is out of the sandbox's reach";
    return;
  }
  if (policy.mode == broker::Mode::grammar) {
    answer.never = "the grammar has no such call: it would be more than windows of this project";
    return;
  }
  const bool denied = std::any_of(policy.deny.begin(), policy.deny.end(),
                                  [&](const auto& rule) { return rule.text == decision.rule; });
  if (denied) {
    answer.never = "a deny rule wins over every allow rule";
    return;
  }
  // Only what permits these very arguments is offered.
  broker::Policy wider = policy;
  const auto words = rule_words(arguments);
  auto rule = broker::parse_rule(policy.command, broker::RuleKind::allow, words.value_or(""),
                                 policy.origin);
  if (rule) wider.allow.push_back(std::move(*rule));
  if (!words || !rule || !broker::decide(wider, arguments).allowed) {
    answer.never = "no rule can be written for these arguments";
    return;
  }
  answer.toml = fmt::format("excluded = [{{ command = {}, mode = \"host\", allow = [{}]",
                            Json(policy.command).dump(), rules_toml(wider.allow));
  if (!policy.deny.empty()) answer.toml += fmt::format(", deny = [{}]", rules_toml(policy.deny));
  answer.toml += " }]";
}

Result<Answer> explain_command(const Ground& ground, std::span<const std::string> argv) {
  const Plan& plan = ground.plan;
  if (argv.empty())
    return fail("explain a command", "", "none was named", "dirbox why exec -- COMMAND …");
  const ExecAnswer exec = explain_exec(plan, argv);
  Answer answer;
  if (exec.verdict == ExecAnswer::Verdict::inside) {
    answer = explain_program(ground, argv.front());
    answer.subject = join_shell(argv);
    return answer;
  }
  answer.subject = join_shell(argv);
  answer.layer = "broker";
  answer.rule = exec.decision.rule;
  answer.origin = exec.decision.origin.text();
  answer.allowed = exec.verdict == ExecAnswer::Verdict::host;
  answer.cause = "excluded-rule";
  const std::string name(path_name(argv.front()));
  for (const Excluded& excluded : plan.excluded) {
    if (excluded.policy.command != name) continue;
    if (answer.allowed) {
      answer.detail = "it runs on the host, as " + excluded.program;
    } else {
      answer.detail = exec.decision.reason;
      add_excluded_cure(answer, excluded, exec.decision, argv.subspan(1));
    }
  }
  return answer;
}

std::vector<std::string> layers_of(const Plan& plan, const Answer& answer, Want want) {
  if (answer.layer == "none") return {};
  if (answer.layer == "proxy" && !answer.allowed) return {"netns", "proxy"};
  std::vector<std::string> out{answer.layer};
  if (answer.layer != "mount" || answer.allowed || want == Want::connect || !plan.spec.landlock)
    return out;
  const auto& rules = plan.spec.landlock_rules;
  const bool permitted = std::any_of(rules.begin(), rules.end(), [&](const auto& rule) {
    const Access least = want == Want::write ? Access::write : Access::read;
    return path_is_beneath(answer.subject, rule.path) && rule.access >= least;
  });
  if (!permitted) out.emplace_back("landlock");
  return out;
}

std::string render_told(const Told& told, bool color) {
  const Answer& answer = told.answer;
  std::string out = fmt::format(
      "{}: {} {}\n",
      answer.allowed ? paint("allowed", Color::green, color) : paint("denied", Color::red, color),
      told.operation, escape_for_terminal(answer.subject));
  auto add = [&out](std::string_view what, std::string_view text) {
    if (!text.empty()) out += fmt::format("  {:<10} {}\n", what, escape_for_terminal(text));
  };
  add("because", answer.detail);
  std::string rule = answer.rule;
  if (!answer.origin.empty())
    rule = rule.empty() ? answer.origin : fmt::format("{} ({})", rule, answer.origin);
  add("rule", rule);
  add(answer.allowed ? "by" : "refused by", fmt::format("{}", fmt::join(told.layers, ", ")));
  add("option", answer.cure);
  add("profile", answer.toml);
  add("never", answer.never);
  return out;
}

Json told_to_json(const Told& told) {
  const Answer& answer = told.answer;
  Json out;
  out.set("operation", told.operation);
  out.set("subject", answer.subject);
  out.set("allowed", answer.allowed);
  JsonArray layers;
  for (const std::string& layer : told.layers) layers.emplace_back(layer);
  out.set("layers", std::move(layers));
  const std::pair<const char*, const std::string*> texts[] = {
      {"cause", &answer.cause},   {"detail", &answer.detail}, {"rule", &answer.rule},
      {"origin", &answer.origin}, {"cure", &answer.cure},     {"toml", &answer.toml},
      {"never", &answer.never}};
  for (const auto& [name, text] : texts) {
    if (!text->empty()) out.set(name, *text);
  }
  return out;
}

}  // namespace dirbox::plan
