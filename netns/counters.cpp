#include "netns/counters.h"

#include <algorithm>
#include <limits>

namespace dirbox::netns {
namespace {
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
}

std::uint64_t NameState::allowance(Direction direction, Clock::time_point now) {
  std::uint64_t allowed = kUnlimited;
  std::uint64_t cap = direction == Direction::up ? limits_.max_upload : limits_.max_download;
  std::uint64_t used = direction == Direction::up ? count.uploaded : count.downloaded;
  if (cap != 0) allowed = used < cap ? cap - used : 0;
  if (limits_.rate != 0) {
    auto passed = std::chrono::duration<double>(now - refilled_).count();
    if (refilled_ == Clock::time_point{} || passed >= 1) {
      tokens_ = limits_.rate;
      refilled_ = now;
    } else if (auto grown = static_cast<std::uint64_t>(passed * static_cast<double>(limits_.rate));
               grown > 0) {
      tokens_ = std::min(limits_.rate, tokens_ + grown);
      refilled_ = now;
    }
    allowed = std::min(allowed, tokens_);
  }
  return allowed;
}

bool NameState::exhausted(Direction direction) const {
  if (direction == Direction::up) {
    return limits_.max_upload != 0 && count.uploaded >= limits_.max_upload;
  }
  return limits_.max_download != 0 && count.downloaded >= limits_.max_download;
}

void NameState::spend(Direction direction, std::uint64_t bytes) {
  (direction == Direction::up ? count.uploaded : count.downloaded) += bytes;
  tokens_ -= std::min(tokens_, bytes);
}

Result<Counters> Counters::make(const std::vector<NameLimits>& limits) {
  Counters out;
  for (const NameLimits& limit : limits) {
    bool wildcard = limit.name.starts_with("*.");
    Hostname name = TRY(parse_hostname(std::string_view(limit.name).substr(wildcard ? 2 : 0)));
    out.limits_.push_back({NamePattern{name, wildcard}, limit});
  }
  // Exact names first, then wildcards with more labels first.
  std::stable_sort(out.limits_.begin(), out.limits_.end(), [](const Limit& a, const Limit& b) {
    if (a.pattern.wildcard != b.pattern.wildcard) return !a.pattern.wildcard;
    return a.pattern.name.label_count() > b.pattern.name.label_count();
  });
  return out;
}

NameState& Counters::of(const Host& host) { return of_text(host_text(host)); }

NameState& Counters::of_text(const std::string& host) {
  std::string text = host;
  if (auto found = names_.find(text); found != names_.end()) return *found->second;
  NameLimits applied;
  if (auto name = parse_hostname(host)) {
    for (const Limit& limit : limits_) {
      if (!limit.pattern.matches(*name)) continue;
      applied = limit.limits;
      break;
    }
  }
  // A limited name always gets its own state: the limit must not end with the table.
  bool shared = names_.size() >= kMaxNames && applied.name.empty();
  if (shared) text = "(other)";
  auto& state = names_[text];
  if (!state) {
    state = std::make_unique<NameState>(applied);
    state->count.name = text;
  }
  return *state;
}

std::vector<NameCount> Counters::summary() const {
  std::vector<NameCount> out;
  for (const auto& [name, state] : names_) out.push_back(state->count);
  return out;
}

}  // namespace dirbox::netns
