#include <algorithm>
#include <functional>
#include <utility>

#include "launcher/base/path.h"
#include "launcher/plan/paths.h"

/// How a RuleSet keeps its rules and finds them: by path in a hash table, and with every directory
/// that lies above something hidden.
namespace dirbox::plan {

std::size_t RuleSet::place_of(std::string_view path) const {
  const std::size_t mask = table_.size() - 1;
  for (std::size_t at = std::hash<std::string_view>()(path);; ++at) {
    const std::uint32_t index = table_[at & mask];
    if (index == 0 || rules_[index - 1].path == path) return at & mask;
  }
}

const PathRule* RuleSet::find(std::string_view path) const {
  if (table_.empty()) return nullptr;
  const std::uint32_t index = table_[place_of(path)];
  return index == 0 ? nullptr : &rules_[index - 1];
}

void RuleSet::index_rules() {
  std::size_t size = 64;
  while (size < rules_.capacity() * 2) size *= 2;
  table_.assign(size, 0);
  for (std::uint32_t i = 0; i < rules_.size(); ++i) table_[place_of(rules_[i].path)] = i + 1;
}

void RuleSet::put(PathRule rule) {
  if (rules_.size() == rules_.capacity())
    rules_.reserve(std::max<std::size_t>(64, rules_.size() * 2));
  if (table_.size() < rules_.capacity() * 2) index_rules();
  const std::size_t place = place_of(rule.path);
  if (table_[place] == 0) {
    rules_.push_back(std::move(rule));
    table_[place] = static_cast<std::uint32_t>(rules_.size());
  } else if (PathRule& old = rules_[table_[place] - 1]; rule.access < old.access) {
    old = std::move(rule);
  } else {
    return;
  }
  if (const PathRule& kept = rules_[table_[place] - 1]; hides_outside_work_tree(kept))
    note_above(kept.path);
}

/// A hide in the work tree is no reason to refuse a tree around it.
bool RuleSet::hides_outside_work_tree(const PathRule& rule) {
  return rule.access == PathAccess::hide && !is_inside_work_tree(rule.text);
}

void RuleSet::note_above(std::string_view path) {
  while (path != "/") {
    const std::size_t slash = path.rfind('/');
    path = path.substr(0, std::max<std::size_t>(slash, 1));
    if (above_hidden_.contains(path)) return;  // and so are those above it
    above_hidden_.emplace(path);
  }
}

void RuleSet::sort() {
  std::vector<std::uint32_t> order(rules_.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  // Most rules hide what is not there, and in whatever order they change nothing.
  auto missing = std::stable_partition(order.begin(), order.end(), [this](std::uint32_t i) {
    return rules_[i].type != FileType::missing;
  });
  std::sort(order.begin(), missing,
            [this](std::uint32_t a, std::uint32_t b) { return rules_[a].path < rules_[b].path; });
  std::vector<PathRule> sorted;
  sorted.reserve(rules_.capacity());
  for (std::uint32_t index : order) sorted.push_back(std::move(rules_[index]));
  rules_ = std::move(sorted);
  index_rules();
}

std::vector<PathRule> RuleSet::take() {
  table_.clear();
  above_hidden_.clear();
  return std::exchange(rules_, {});
}

const PathRule* RuleSet::decide(std::string_view path) const {
  for (std::string_view at = path;;) {
    if (const PathRule* rule = find(at)) return rule;
    const std::size_t slash = at.rfind('/');
    if (at == "/" || slash == at.npos) return nullptr;
    at = at.substr(0, std::max<std::size_t>(slash, 1));
  }
}

bool RuleSet::hides_beneath(std::string_view path) const {
  if (above_hidden_.contains(path)) return true;
  const PathRule* rule = find(path);
  return rule != nullptr && hides_outside_work_tree(*rule);
}

}  // namespace dirbox::plan
