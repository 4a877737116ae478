#include <algorithm>
#include <numeric>
#include <utility>

#include "launcher/base/path.h"
#include "launcher/plan/paths.h"

/// How a RuleSet keeps its rules and finds them.
namespace dirbox::plan {

std::size_t RuleSet::lower_bound(std::string_view path) const {
  auto at = std::lower_bound(
      order_.begin(), order_.end(), path,
      [this](std::uint32_t index, std::string_view p) { return rules_[index].path < p; });
  return static_cast<std::size_t>(at - order_.begin());
}

const PathRule* RuleSet::find(std::string_view path) const {
  const std::size_t at = lower_bound(path);
  const bool found = at < order_.size() && rules_[order_[at]].path == path;
  return found ? &rules_[order_[at]] : nullptr;
}

void RuleSet::put(PathRule rule) {
  const std::size_t at = lower_bound(rule.path);
  if (at == order_.size() || rules_[order_[at]].path != rule.path) {
    order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(at),
                  static_cast<std::uint32_t>(rules_.size()));
    rules_.push_back(std::move(rule));
  } else if (PathRule& old = rules_[order_[at]]; rule.access < old.access) {
    old = std::move(rule);
  }
}

void RuleSet::sort() {
  std::vector<PathRule> sorted;
  sorted.reserve(rules_.size());
  for (std::uint32_t index : order_) sorted.push_back(std::move(rules_[index]));
  rules_ = std::move(sorted);
  std::iota(order_.begin(), order_.end(), 0U);
}

std::vector<PathRule> RuleSet::take() {
  order_.clear();
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
  for (std::size_t at = lower_bound(path); at < order_.size(); ++at) {
    const PathRule& rule = rules_[order_[at]];
    if (!rule.path.starts_with(path)) break;
    if (rule.access == PathAccess::hide && path_is_beneath(rule.path, path) &&
        !is_inside_work_tree(rule.text)) {
      return true;
    }
  }
  return false;
}

}  // namespace dirbox::plan
