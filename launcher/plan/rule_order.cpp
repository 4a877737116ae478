#include <algorithm>
#include <functional>
#include <utility>

#include "launcher/base/path.h"
#include "launcher/plan/paths.h"

/// How a RuleSet keeps its rules and finds them: by path in a hash table; the hides also in order,
/// from when the first question about a whole tree is asked.
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
  hidden_.clear();
}

void RuleSet::put(PathRule rule) {
  if (rules_.size() == rules_.capacity())
    rules_.reserve(std::max<std::size_t>(64, rules_.size() * 2));
  if (table_.size() < rules_.capacity() * 2) index_rules();
  if (rule.access == PathAccess::hide) hidden_.clear();
  const std::size_t place = place_of(rule.path);
  if (table_[place] == 0) {
    rules_.push_back(std::move(rule));
    table_[place] = static_cast<std::uint32_t>(rules_.size());
  } else if (PathRule& old = rules_[table_[place] - 1]; rule.access < old.access) {
    old = std::move(rule);
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
  hidden_.clear();
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
  if (hidden_.empty()) {
    for (std::uint32_t i = 0; i < rules_.size(); ++i) {
      if (rules_[i].access == PathAccess::hide && !is_inside_work_tree(rules_[i].text)) {
        hidden_.push_back(i);
      }
    }
    auto by_path = [this](std::uint32_t a, std::uint32_t b) {
      return rules_[a].path < rules_[b].path;
    };
    if (!std::is_sorted(hidden_.begin(), hidden_.end(), by_path)) {
      std::sort(hidden_.begin(), hidden_.end(), by_path);
    }
  }
  auto at = std::lower_bound(
      hidden_.begin(), hidden_.end(), path,
      [this](std::uint32_t index, std::string_view p) { return rules_[index].path < p; });
  for (; at != hidden_.end(); ++at) {
    const std::string& hidden = rules_[*at].path;
    if (!hidden.starts_with(path)) return false;
    if (path_is_beneath(hidden, path)) return true;
  }
  return false;
}

}  // namespace dirbox::plan
