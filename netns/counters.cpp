#include "netns/counters.h"

#include <algorithm>
#include <limits>

namespace dirbox::netns {
namespace {
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
}

std::uint64_t Budget::allowance(Direction direction, Clock::time_point now) {
  std::uint64_t allowed = kUnlimited;
  std::uint64_t cap = direction == Direction::up ? limits_.max_upload : limits_.max_download;
  std::uint64_t used = direction == Direction::up ? uploaded_ : downloaded_;
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

bool Budget::exhausted(Direction direction) const {
  if (direction == Direction::up) {
    return limits_.max_upload != 0 && uploaded_ >= limits_.max_upload;
  }
  return limits_.max_download != 0 && downloaded_ >= limits_.max_download;
}

void Budget::spend(Direction direction, std::uint64_t bytes) {
  (direction == Direction::up ? uploaded_ : downloaded_) += bytes;
  tokens_ -= std::min(tokens_, bytes);
}

std::uint64_t NameState::allowance(Direction direction, Budget::Clock::time_point now) {
  return budget_ == nullptr ? kUnlimited : budget_->allowance(direction, now);
}

void NameState::spend(Direction direction, std::uint64_t bytes) {
  (direction == Direction::up ? count.uploaded : count.downloaded) += bytes;
  if (budget_ != nullptr) budget_->spend(direction, bytes);
}

Result<Counters> Counters::make(const std::vector<NameLimits>& limits) {
  Counters out;
  for (const NameLimits& limit : limits) {
    bool wildcard = limit.name.starts_with("*.");
    Hostname name = TRY(parse_hostname(std::string_view(limit.name).substr(wildcard ? 2 : 0)));
    out.limits_.push_back(
        {NamePattern{name, wildcard}, limit.name, std::make_unique<Budget>(limit)});
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
  const Limit* limit = nullptr;
  if (auto name = parse_hostname(host)) limit = find_limit(*name);
  if (names_.size() >= kMaxNames) text = limit ? "(other " + limit->name + ")" : "(other)";
  auto& state = names_[text];
  if (!state) {
    state = std::make_unique<NameState>(limit ? limit->budget.get() : nullptr);
    state->count.name = text;
  }
  return *state;
}

const Counters::Limit* Counters::find_limit(const Hostname& name) const {
  for (const Limit& limit : limits_)
    if (limit.pattern.matches(name)) return &limit;
  return nullptr;
}

bool Counters::used_up(const Host& host) const {
  const auto* name = std::get_if<Hostname>(&host);
  const Limit* limit = name ? find_limit(*name) : nullptr;
  return limit &&
         (limit->budget->exhausted(Direction::up) || limit->budget->exhausted(Direction::down));
}

std::vector<NameCount> Counters::summary() const {
  std::vector<NameCount> out;
  for (const auto& [name, state] : names_) out.push_back(state->count);
  return out;
}

}  // namespace dirbox::netns
