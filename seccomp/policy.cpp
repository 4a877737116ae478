#include "seccomp/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "launcher/base/text.h"
#include "seccomp/hard_rules.h"

namespace dirbox::seccomp {
namespace {

// A rule becomes one block of BPF whose conditional jumps reach 255 instructions; a wide test takes
// at most 8.
constexpr std::size_t kMaxTests = 16;
// Entries are compared pairwise; a Source is numbered in 16 bits.
constexpr std::size_t kMaxEntries = 4096;
constexpr std::string_view kAll = "@all";
// What a program needs to make a sandbox of its own inside this one.
constexpr std::string_view kNestedGroups[] = {"@namespace", "@mount", "@hidden-args"};

enum class Level : std::uint8_t { call, group, all };

struct Entry {
  Level level = Level::call;
  std::size_t index = 0;  // of the call or group
  std::vector<Test> tests;
  ActionKind kind = ActionKind::allow;
  std::optional<int> err;  // absent: the group's
  std::uint16_t source = 0;

  bool names(std::size_t call) const {
    if (level == Level::all) return true;
    return index == (level == Level::call ? call : calls()[call].group);
  }
  Action action_for(const Call& call) const {
    if (kind != ActionKind::errno_ && kind != ActionKind::notify) return {kind, 0};
    return {kind, err.value_or(group_of(call).err)};
  }
  bool permits() const { return kind <= ActionKind::log; }
};

Failure at(const Origin& origin, std::string_view what, std::string_view detail,
           std::string_view hint = {}) {
  std::string where = origin.text();
  return fail("seccomp", what,
              where.empty() ? std::string(detail) : fmt::format("{}: {}", where, detail), hint);
}

/// Level and index of a name.
Result<Entry> resolve(const std::string& name, const Origin& origin) {
  Entry entry;
  if (name == kAll) {
    entry.level = Level::all;
  } else if (const Group* group = find_group(name)) {
    entry.level = Level::group;
    entry.index = static_cast<std::size_t>(group - groups().data());
  } else if (const Call* call = find_call(name)) {
    entry.index = static_cast<std::size_t>(call - calls().data());
  } else {
    auto names = all_names();
    names.push_back(kAll);
    return at(origin, name, "no such system call or group" + did_you_mean(name, names),
              "dirbox-seccomp(7) lists the groups");
  }
  return entry;
}

Result<Entry> read_rule(const RuleInput& rule) {
  Entry entry = TRY(resolve(rule.syscall, rule.origin));
  if (rule.when.size() > kMaxTests) {
    return at(rule.origin, rule.syscall, fmt::format("more than {} argument tests", kMaxTests));
  }
  for (const std::string& text : rule.when) {
    auto test = parse_test(text);
    if (!test) return at(rule.origin, text, test.error().detail, test.error().hint);
    for (const Test& earlier : entry.tests) {
      if (exclude_each_other(earlier, *test))
        return at(rule.origin, text,
                  fmt::format("never true together with \"{}\"", earlier.text()));
    }
    if (std::find(entry.tests.begin(), entry.tests.end(), *test) == entry.tests.end())
      entry.tests.push_back(*test);
  }
  auto action = parse_action(rule.action, 0);
  if (!action) return at(rule.origin, rule.action, action.error().detail, action.error().hint);
  entry.kind = action->kind;
  if (entry.kind == ActionKind::errno_) entry.err = action->err;
  return entry;
}

std::vector<Test> sorted(std::vector<Test> tests) {
  auto key = [](const Test& t) { return std::tuple(t.arg, t.wide, t.op, t.mask, t.value); };
  std::sort(tests.begin(), tests.end(), [&](auto& a, auto& b) { return key(a) < key(b); });
  return tests;
}

bool equal_standing(const Entry& a, const Entry& b) {
  return a.level == b.level && (a.level == Level::all || a.index == b.index) &&
         a.tests.size() == b.tests.size() && sorted(a.tests) == sorted(b.tests);
}

/// `rule` names the exact value of everything that `denial` looks at.
bool pins(const Entry& rule, const HardDenial& denial) {
  return std::all_of(denial.tests.begin(), denial.tests.end(), [&](const Test& looked_at) {
    return std::any_of(rule.tests.begin(), rule.tests.end(), [&](const Test& named) {
      return named.op == Op::eq && named.arg == looked_at.arg &&
             (looked_at.mask & ~named.mask) == 0;
    });
  });
}

bool can_meet(const std::vector<Test>& a, std::span<const Test> b) {
  for (const Test& x : a) {
    for (const Test& y : b) {
      if (exclude_each_other(x, y)) return false;
    }
  }
  return true;
}

/// Entries that decide for one call, in order of level 1 of the theory of operation.
std::vector<const Entry*> tested_entries(const std::vector<Entry>& entries, std::size_t call) {
  std::vector<const Entry*> out;
  for (const Entry& entry : entries) {
    if (!entry.tests.empty() && entry.names(call)) out.push_back(&entry);
  }
  std::stable_sort(out.begin(), out.end(), [](const Entry* a, const Entry* b) {
    if (a->level != b->level) return a->level < b->level;
    if (a->tests.size() != b->tests.size()) return a->tests.size() > b->tests.size();
    return a->kind > b->kind;
  });
  return out;
}

/// Level 3; nullptr leaves the call to the table.
const Entry* plain_entry(const std::vector<Entry>& entries, std::size_t call) {
  const Entry* best = nullptr;
  for (const Entry& entry : entries) {
    if (!entry.tests.empty() || !entry.names(call)) continue;
    if (!best || entry.level < best->level ||
        (entry.level == best->level && entry.kind > best->kind))
      best = &entry;
  }
  return best;
}

/// The call of each hard denial; nullptr for one that does not apply to this policy.
std::vector<const Call*> hard_denied_calls(const PolicyInput& input, bool notifies) {
  std::vector<const Call*> out;
  for (const HardDenial& denial : hard_denials()) {
    bool dropped = (denial.when == HardDenial::When::single_userns && input.nested_userns) ||
                   (denial.when == HardDenial::When::notifying && !notifies) ||
                   (denial.when == HardDenial::When::enforcing && !input.enforce);
    out.push_back(dropped ? nullptr : find_call(denial.call));
  }
  return out;
}

/// All entries of the input, each with a Source of its own in `sources`.
Result<std::vector<Entry>> read_entries(const PolicyInput& input, std::vector<Source>& sources) {
  std::vector<Entry> entries;
  auto add = [&](Entry entry, const std::string& name, const Origin& origin) {
    entry.source = static_cast<std::uint16_t>(sources.size());
    sources.push_back({Source::Kind::profile, origin, name, {}});
    entries.push_back(std::move(entry));
  };
  for (const NameInput& name : input.allow)
    add(TRY(resolve(name.name, name.origin)), name.name, name.origin);
  for (const NameInput& name : input.deny) {
    Entry entry = TRY(resolve(name.name, name.origin));
    entry.kind = ActionKind::errno_;
    add(std::move(entry), name.name, name.origin);
  }
  for (const RuleInput& rule : input.rules) add(TRY(read_rule(rule)), rule.syscall, rule.origin);
  if (entries.size() > kMaxEntries) {
    return fail("seccomp", "rules", fmt::format("more than {} entries", kMaxEntries));
  }
  for (std::size_t i = 0; i < entries.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (!equal_standing(entries[i], entries[j]) || entries[i].permits() == entries[j].permits())
        continue;
      const Source &here = sources[entries[i].source], &there = sources[entries[j].source];
      return at(here.origin, here.name,
                fmt::format("{} here, but {} at {}", entries[i].permits() ? "allowed" : "denied",
                            entries[j].permits() ? "allowed" : "denied", there.origin.text()),
                "remove one of the two, or make one of them more specific");
    }
  }
  if (input.nested_userns) {
    for (std::string_view name : kNestedGroups) {
      auto named = [&](const Entry& e) {
        return e.tests.empty() && e.level == Level::group && groups()[e.index].name == name;
      };
      if (std::any_of(entries.begin(), entries.end(), named)) continue;
      Entry entry = TRY(resolve(std::string(name), input.nested_userns_origin));
      add(std::move(entry), "nested_userns", input.nested_userns_origin);
    }
  }
  return entries;
}

/// A second listener is refused by the filter itself: the supervisor may be gone by then.
Action hard_action(const HardDenial& denial, bool observes) {
  const bool asks = observes && denial.err != 0 && denial.when != HardDenial::When::notifying;
  return {asks ? ActionKind::notify : ActionKind::errno_, denial.err};
}

}  // namespace

std::string Source::text() const {
  switch (kind) {
    case Kind::profile:
      return fmt::format("{} ({})", origin.text(), name);
    case Kind::hard:
      return "hard denial " + name;
    case Kind::group:
      return "group " + name;
    case Kind::unknown:
      return "not in the system call table";
  }
  return {};
}

Result<Policy> compile_policy(const PolicyInput& input) {
  Policy policy;
  std::vector<Source>& sources = policy.sources_;
  sources.push_back({Source::Kind::unknown, {}, {}, "Unknown numbers and foreign ABIs."});
  std::vector<Entry> entries = TRY(read_entries(input, sources));
  const bool observes = input.observe != Observe::none;
  bool notifies = observes || input.enforce ||
                  std::any_of(entries.begin(), entries.end(),
                              [](const Entry& e) { return e.kind == ActionKind::notify; });

  auto group_base = static_cast<std::uint16_t>(sources.size());
  for (const Group& group : groups())
    sources.push_back({Source::Kind::group, {}, std::string(group.name), group.reason});
  auto hard_base = static_cast<std::uint16_t>(sources.size());
  for (const HardDenial& denial : hard_denials()) {
    sources.push_back({Source::Kind::hard, {}, std::string(denial.name), denial.reason});
  }

  std::vector<const Call*> denied_calls = hard_denied_calls(input, notifies);
  policy.clauses_.reserve(2 * calls().size());
  policy.first_.reserve(calls().size() + 1);

  auto emit = [&](std::vector<Test> tests, Action action, std::size_t source) {
    policy.clauses_.push_back({std::move(tests), action, static_cast<std::uint16_t>(source)});
  };
  // Behind a clause without tests nothing is reached.
  auto is_settled = [&] {
    return policy.clauses_.size() > policy.first_.back() && policy.clauses_.back().tests.empty();
  };
  for (std::size_t i = 0; i < calls().size(); ++i) {
    const Call& call = calls()[i];
    policy.first_.push_back(static_cast<std::uint32_t>(policy.clauses_.size()));
    std::vector<std::size_t> denials;
    for (std::size_t h = 0; h < denied_calls.size(); ++h) {
      if (denied_calls[h] == &call) denials.push_back(h);
    }
    for (const Entry* entry : tested_entries(entries, i)) {
      for (std::size_t h : denials) {
        const HardDenial& denial = hard_denials()[h];
        if (!entry->permits() || pins(*entry, denial) || !can_meet(entry->tests, denial.tests))
          continue;
        std::vector<Test> both = entry->tests;
        both.insert(both.end(), denial.tests.begin(), denial.tests.end());
        emit(std::move(both), hard_action(denial, observes), hard_base + h);
      }
      emit(entry->tests, entry->action_for(call), entry->source);
    }
    const Entry* plain = plain_entry(entries, i);
    const Group& group = group_of(call);
    Action action = plain        ? plain->action_for(call)
                    : group.open ? Action{ActionKind::allow, 0}
                                 : Action{ActionKind::errno_, group.err};
    if (action.permits()) {
      for (std::size_t h : denials) {
        const HardDenial& denial = hard_denials()[h];
        emit({denial.tests.begin(), denial.tests.end()}, hard_action(denial, observes),
             hard_base + h);
      }
    }
    const std::size_t source = plain ? plain->source : group_base + call.group;
    if (action.kind == ActionKind::allow) {
      for (const Observed& observed : observed_calls()) {
        if (observed.call != call.name || observed.from > input.observe) continue;
        std::vector<Test> tests;
        if (!observed.always) tests.push_back(observed.test);
        emit(std::move(tests), {ActionKind::notify, 0}, source);
      }
      for (const Enforced& enforced : enforced_calls()) {
        if (enforced.call != call.name || !input.enforce || is_settled()) continue;
        std::vector<Test> tests;
        if (!enforced.always) tests.push_back(enforced.test);
        emit(std::move(tests), {ActionKind::notify, 0}, source);
      }
    } else if (observes && action.kind == ActionKind::errno_ && is_denial_observed(action.err)) {
      action.kind = ActionKind::notify;
    }
    if (!is_settled()) emit({}, action, source);
  }
  policy.first_.push_back(static_cast<std::uint32_t>(policy.clauses_.size()));
  return policy;
}

std::span<const Clause> Policy::clauses(const Call& call) const {
  auto index = static_cast<std::size_t>(&call - seccomp::calls().data());
  return std::span(clauses_).subspan(first_[index], first_[index + 1] - first_[index]);
}

Decision Policy::decide(Arch arch, std::uint32_t number, const std::uint64_t (&args)[6]) const {
  if (const Call* call = find_call(arch, static_cast<int>(number))) {
    for (const Clause& clause : clauses(*call)) {
      if (std::all_of(clause.tests.begin(), clause.tests.end(),
                      [&](const Test& test) { return test.holds(args); }))
        return {clause.action, &source(clause)};
    }
  }
  return {{ActionKind::errno_, ENOSYS}, &sources_.front()};
}

bool Policy::notifies() const {
  return std::any_of(clauses_.begin(), clauses_.end(),
                     [](const Clause& c) { return c.action.kind == ActionKind::notify; });
}

std::string Policy::canonical_text(Arch arch) const {
  // Fixed-width binary: one hash of a few kilobytes happens at each start.
  std::string out;
  out.reserve(6 * clauses_.size() + 1024);
  auto put = [&](std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  };
  for (const Call& call : seccomp::calls()) {
    if (call.number(arch) < 0) continue;
    put(static_cast<std::uint64_t>(call.number(arch)), 2);
    auto list = clauses(call);
    put(list.size(), 2);
    for (const Clause& clause : list) {
      put(static_cast<std::uint64_t>(clause.action.kind), 1);
      // The errno of a notification is the supervisor's, not the filter's.
      put(clause.action.kind == ActionKind::errno_ ? static_cast<std::uint64_t>(clause.action.err)
                                                   : 0,
          2);
      put(clause.tests.size(), 1);
      for (const Test& test : clause.tests) {
        put(test.arg, 1);
        put(test.wide, 1);
        put(static_cast<std::uint64_t>(test.op), 1);
        put(test.mask, 8);
        put(test.value, 8);
      }
    }
  }
  return out;
}

}  // namespace dirbox::seccomp
