#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "launcher/plan/places.h"
#include "launcher/plan/plan.h"
#include "launcher/plan/resolver.h"

/// From path entries of a Profile to resolved PathRules.
namespace dirbox::plan {

inline constexpr std::string_view kCwdHint =
    "change into a project directory, or insist with --force-cwd";

/// What the variables of an entry stand for.
struct Places {
  std::string home, cwd, project;
  std::string claude_project;  ///< see claude_project_directory()
  std::string account_home{};  ///< hidden like `home`, where it is another: $HOME can be anything
};

/// "~/x", "${CWD}/x", … to an absolute path. Errors: a relative path, an unknown variable.
Result<std::string> expand_path(const profiles::Entry& entry, const Places& places);

/// True for the text of an entry that names something inside the work tree: it cannot be a reason
/// to refuse the work tree itself.
bool is_inside_work_tree(const std::string& text);

/// The directory of the git work tree around `cwd`, below `home`'s parent; `cwd` when there is
/// none.
std::string find_project(Resolver& resolver, const std::string& cwd, const std::string& home);

/// Collects rules. Symlinks on the way to a grant are remembered, to be made again inside.
class RuleSet {
 public:
  RuleSet(Resolver& resolver, const HostFacts& facts, const Places& places, Plan& plan)
      : resolver_(resolver), facts_(facts), places_(places), plan_(plan) {}

  /// Every path of the profile, and its home where that is the real one.
  /// `forced`: where ${CWD} or ${PROJECT} stands for a directory that cannot be granted, that entry
  /// is left out.
  Result<void> add_profile(const profiles::Profile& profile, bool forced);
  /// A grant that the compiler found by itself (an install tree). False when a hidden path forbids
  /// it.
  bool add_found(const std::string& path, const std::string& why);
  /// The git directory of a linked worktree or a submodule, with the access that `project` has. An
  /// Error for one that is not what its gitfile says, unless an entry grants where that leads.
  Result<void> add_worktree(const std::string& project);
  /// A symlink on the way that lies where the sandbox may write, so that one may have made it.
  const Resolver::Hop* planted_hop(const Resolver::Resolution& resolution) const;
  /// True when `path` lies strictly beneath a path that the profile lets be written.
  bool is_within_writable(std::string_view path) const;
  /// Says that `path`, which the sandbox may have made, leads to `target`, which is not granted.
  void warn_of_planted(const std::string& path, const std::string& target);
  /// What the sandbox makes itself, and no grant replaces.
  const OwnPlaces& own() const { return own_; }
  /// Makes the symlinks that lead to `path` visible inside.
  void keep_links(const Resolver::Resolution& resolution);

  /// Nearest rule at or above `path`.
  const PathRule* decide(std::string_view path) const;
  /// True when a rule hides something at or beneath `path` (existing or not).
  bool hides_beneath(std::string_view path) const;
  /// In the order in which they were added.
  const std::vector<PathRule>& rules() const { return rules_; }
  /// Puts rules() in the order of their paths, those of what is missing behind. What decide()
  /// returned before is not valid any more.
  void sort();
  /// Empties the set.
  std::vector<PathRule> take();
  const std::vector<Resolver::Hop>& links() const { return links_; }

 private:
  Result<void> add(const profiles::Entry& entry, PathAccess access, bool copy = false);
  Result<void> check_wildcards(const profiles::Entry& entry, PathAccess access);
  Result<void> add_globs(const profiles::Profile& profile);
  Result<void> add_glob(const profiles::Entry& entry, PathAccess access,
                        const std::vector<std::string>& roots);
  Result<std::size_t> take_matches(const profiles::Entry& entry, PathAccess access,
                                   const std::vector<std::string>& paths);
  std::vector<std::string> granted_roots() const;
  Result<void> add_synced(const profiles::Entry& entry);
  Result<void> add_protected(const profiles::Entry& entry);
  Result<void> add_socket(const profiles::Entry& entry);
  Result<void> add_hidden(const profiles::Entry& entry, const std::string& path);
  Result<bool> check_grant(const profiles::Entry& entry, const std::string& path,
                           const Resolver::Resolution& found, PathAccess access);
  std::size_t place_of(std::string_view path) const;  // in table_
  const PathRule* find(std::string_view path) const;
  Result<void> check_option(const profiles::Entry& entry, const PathRule& hidden,
                            const std::string& path);
  Result<void> keep_own_files();
  bool is_of_work_tree(const std::string& path, const Resolver::Resolution& found) const;
  void keep_profiles();
  void show_repository(const std::string& common);
  void show_worktrees(const std::string& common);
  void hold(const std::string& path);
  void hold_covered();
  void put(PathRule rule);
  void index_rules();
  static bool hides_outside_work_tree(const PathRule& rule);
  void note_above(std::string_view path);
  void add_aliases(const PathRule& rule);
  void hide_kernel_mounts();
  void warn_of_links(const profiles::Entry& entry, const Resolver::Resolution& found);

  Resolver& resolver_;
  const HostFacts& facts_;
  const Places& places_;
  Plan& plan_;
  OwnPlaces own_;
  bool forced_ = false;
  bool own_swarm_ = false;  ///< ~/.swarm is not the host's
  std::vector<PathRule> rules_;
  std::vector<std::uint32_t> table_;  // open addressing by path: position in rules_ + 1
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_set<std::string, Hash, std::equal_to<>> above_hidden_;  // but in the work tree
  std::vector<Resolver::Hop> links_;
  std::vector<std::string> writable_;  // canonical, of write entries
};

}  // namespace dirbox::plan
