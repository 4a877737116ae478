#include <algorithm>
#include <charconv>

#include "launcher/base/path.h"
#include "launcher/plan/policy_file.h"

/// The text of kPolicyFile as a Plan again.
namespace dirbox::plan {
namespace {

using sandbox::Access;
using sandbox::Mount;
using sandbox::MountKind;

Failure wrong(std::string_view what) { return fail("read the policy", kPolicyFile, what); }

std::optional<std::uint32_t> take_number(std::string_view& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  std::uint32_t number = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data() + colon + 1, end, number);
  if (error != std::errc() || at != end || colon + 1 == text.size()) return std::nullopt;
  text = text.substr(0, colon);
  return number;
}

/// "file:line:column", "file:line", "file".
Origin parse_origin(std::string_view text) {
  const auto last = take_number(text);
  const auto line = last ? take_number(text) : std::nullopt;
  Origin origin;
  if (last) origin.line = line.value_or(*last);
  if (line) origin.column = *last;
  origin.file = text;
  return origin;
}

/// The elements of an array of strings.
Result<std::vector<std::string>> read_strings(const Json& json, std::size_t least) {
  const JsonArray* array = json.as_array();
  if (array == nullptr || array->size() < least) return wrong("a row is too short");
  std::vector<std::string> out;
  for (const Json& item : *array) {
    if (item.as_string() == nullptr) return wrong("a row holds something else than texts");
    out.push_back(*item.as_string());
  }
  return out;
}

Result<std::string> read_string(const Json& json, std::string_view name) {
  const Json* member = json.find(name);
  if (member == nullptr || member->as_string() == nullptr) return wrong(name);
  return *member->as_string();
}

Result<bool> read_bool(const Json& json, std::string_view name) {
  const Json* member = json.find(name);
  if (member == nullptr || member->as_bool() == nullptr) return wrong(name);
  return *member->as_bool();
}

Result<std::vector<std::vector<std::string>>> read_rows(const Json& json, std::string_view name,
                                                        std::size_t least) {
  const Json* member = json.find(name);
  if (member == nullptr || member->as_array() == nullptr) return wrong(name);
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : *member->as_array()) rows.push_back(TRY(read_strings(row, least)));
  return rows;
}

/// What a word of the file says about a mount.
struct Row {
  std::string_view word;
  MountKind kind;
  std::optional<Access> access;
};
constexpr Row kRows[] = {
    {"read", MountKind::bind, Access::read},        {"write", MountKind::bind, Access::write},
    {"private", MountKind::tmpfs, Access::write},   {"made", MountKind::directory, Access::list},
    {"file", MountKind::file, Access::read},        {"link", MountKind::symlink, std::nullopt},
    {"protect", MountKind::bind, Access::read},     {"host", MountKind::shim, Access::read},
    {"closed", MountKind::read_only, std::nullopt},
};

Result<void> add_mount(const std::vector<std::string>& row, Plan& plan) {
  const auto* known = std::find_if(std::begin(kRows), std::end(kRows),
                                   [&](const Row& r) { return r.word == row[1]; });
  if (known == std::end(kRows)) return wrong("an unknown kind of mount");
  Mount mount;
  mount.kind = known->kind;
  mount.target = row[0];
  mount.origin = parse_origin(row[2]);
  mount.writable = known->kind == MountKind::bind && known->access == Access::write;
  if (known->kind == MountKind::shim) mount.source = row.size() > 3 ? row[3] : "";
  plan.spec.mounts.push_back(mount);
  if (known->access) plan.spec.landlock_rules.push_back({row[0], *known->access});
  if (known->kind != MountKind::bind && known->kind != MountKind::file) return {};
  PathRule rule{row[0], row[0], PathAccess::read, FileType::other, mount.origin};
  if (mount.writable) rule.access = PathAccess::write;
  if (known->word == "protect") rule.access = PathAccess::protect;
  plan.rules.push_back(std::move(rule));
  return {};
}

Result<void> add_network(const Json& json, Plan& plan) {
  const std::string mode = TRY(read_string(json, "network"));
  if (mode != "none" && mode != "proxy" && mode != "host") return wrong("network");
  plan.network.mode = mode == "none"    ? netns::Mode::none
                      : mode == "proxy" ? netns::Mode::proxy
                                        : netns::Mode::host;
  plan.spec.own_network = mode != "host";
  for (const auto& row : TRY(read_rows(json, "allow", 2)))
    plan.network.allow.push_back({row[0], parse_origin(row[1])});
  for (const auto& row : TRY(read_rows(json, "deny", 2)))
    plan.network.deny.push_back({row[0], parse_origin(row[1])});
  return {};
}

Result<void> add_syscalls(const Json& json, Plan& plan) {
  seccomp::PolicyInput input;
  for (const auto& row : TRY(read_rows(json, "syscalls_allow", 2)))
    input.allow.push_back({row[0], parse_origin(row[1])});
  for (const auto& row : TRY(read_rows(json, "syscalls_deny", 2)))
    input.deny.push_back({row[0], parse_origin(row[1])});
  for (const auto& row : TRY(read_rows(json, "syscall_rules", 3))) {
    input.rules.push_back({row[0], {row.begin() + 3, row.end()}, row[1], parse_origin(row[2])});
  }
  input.nested_userns = plan.spec.nested_userns;
  plan.syscalls = TRY(seccomp::compile_policy(input));
  return {};
}

Result<void> add_excluded(const Json& json, Plan& plan) {
  const Json* list = json.find("excluded");
  if (list == nullptr || list->as_array() == nullptr) return wrong("excluded");
  for (const Json& item : *list->as_array()) {
    Excluded excluded;
    broker::Policy& policy = excluded.policy;
    policy.command = TRY(read_string(item, "command"));
    policy.origin = parse_origin(TRY(read_string(item, "origin")));
    const bool grammar = TRY(read_string(item, "mode")) == "grammar";
    policy.mode = grammar ? broker::Mode::grammar : broker::Mode::host;
    excluded.no_panes = TRY(read_string(item, "no_panes"));
    excluded.refused = TRY(read_string(item, "refused"));
    excluded.program = policy.command;
    for (const auto& row : TRY(read_rows(item, "allow", 2))) {
      policy.allow.push_back(TRY(broker::parse_rule(policy.command, broker::RuleKind::allow, row[0],
                                                    parse_origin(row[1]))));
    }
    for (const auto& row : TRY(read_rows(item, "deny", 2))) {
      policy.deny.push_back(TRY(broker::parse_rule(policy.command, broker::RuleKind::deny, row[0],
                                                   parse_origin(row[1]))));
    }
    plan.excluded.push_back(std::move(excluded));
  }
  return {};
}

}  // namespace

Result<Plan> parse_policy(std::string_view text) {
  const Json json = TRY(Json::parse(text));
  const Json* version = json.find("version");
  if (version == nullptr || version->as_int() == nullptr || *version->as_int() != 1)
    return wrong("it is of another version of dirbox");
  Plan plan;
  plan.profile = TRY(read_string(json, "profile"));
  plan.session = TRY(read_string(json, "session"));
  plan.home = TRY(read_string(json, "home"));
  plan.cwd = TRY(read_string(json, "cwd"));
  plan.spec.landlock = TRY(read_bool(json, "landlock"));
  plan.spec.nested_userns = TRY(read_bool(json, "nested_userns"));
  for (const auto& row : TRY(read_rows(json, "mounts", 3))) TRY_VOID(add_mount(row, plan));
  std::stable_sort(plan.rules.begin(), plan.rules.end(),
                   [](const PathRule& a, const PathRule& b) { return a.path < b.path; });
  for (const auto& row : TRY(read_rows(json, "environment", 2)))
    plan.environment.push_back({row[0], "", parse_origin(row[1])});
  TRY_VOID(add_network(json, plan));
  TRY_VOID(add_syscalls(json, plan));
  TRY_VOID(add_excluded(json, plan));
  return plan;
}

}  // namespace dirbox::plan
