#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "netns/rules.h"
#include "netns/spec.h"

/// The rules of a running sandbox: those of its start, and what `dirbox grant` and `dirbox revoke`
/// made of them. A value: a change is made on a copy, which replaces the original once it is in
/// force.
namespace dirbox::netns {

/// Theory of operation: grants stand behind the allow rules of the start, revocations in front of
/// its deny rules. The last word about a host and a port wins: a grant takes its ports out of
/// earlier revocations of the same host, and a revocation takes its ports out of earlier grants
/// and, where another rule still allows them, refuses them. What a grant with an end took out of a
/// revocation is refused again when it ends. Deny rules of the start are never lifted.
class Grants {
 public:
  using Clock = std::chrono::steady_clock;
  using Notes = std::vector<std::string>;

  /// `start` outlives this.
  explicit Grants(const NetworkSpec& start) : start_(&start) {}

  /// Allows what `rule` (rules.h; a bundle too) names, until `until` when there is one. The notes
  /// say what of it cannot work before the next start. Errors: a malformed rule, one that a deny
  /// rule of the start refuses altogether, too many rules. After an error nothing has changed.
  Result<Notes> grant(std::string_view rule, std::optional<Clock::time_point> until);
  /// Refuses what `rule` names; without a port every port of the host. Connections that exist stay.
  Result<Notes> revoke(std::string_view rule);
  /// Takes away what is over by `now`. Returns the rules that went.
  std::vector<std::string> expire(Clock::time_point now);
  std::optional<Clock::time_point> next_expiry() const;

  /// The complete set, as RuleSet::make takes it.
  std::vector<RuleText> allow() const;
  std::vector<RuleText> deny() const;

  struct Listed {
    RuleText rule;
    bool deny = false;
    std::optional<Clock::time_point> until;
  };
  /// Deny rules first, in the order in which they are looked at.
  std::vector<Listed> list() const;

 private:
  struct Entry {
    Rule rule;
    std::string text;
    std::optional<Clock::time_point> until;  ///< of a grant; a revocation is lifted so long
  };
  static std::vector<Entry> take_out(std::vector<Entry>& entries, const Rule& rule);
  Result<void> check_lifted(const Rule& rule, const RuleSet& set) const;
  void note_unreachable(const Rule& rule, const RuleSet& start, Notes& notes) const;

  const NetworkSpec* start_;
  std::vector<Entry> granted_, revoked_;
};

}  // namespace dirbox::netns
