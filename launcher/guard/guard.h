#pragma once
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "launcher/base/closer.h"
#include "launcher/base/event_loop.h"
#include "launcher/base/result.h"
#include "launcher/guard/entry.h"
#include "launcher/guard/familiar.h"
#include "launcher/guard/held.h"
#include "launcher/guard/indexes.h"
#include "launcher/guard/indirect.h"
#include "launcher/guard/leads.h"
#include "launcher/guard/limits.h"
#include "launcher/guard/nodes.h"
#include "launcher/guard/others.h"
#include "launcher/guard/plain.h"
#include "launcher/guard/silence.h"
#include "launcher/guard/spec.h"
#include "launcher/guard/store.h"

/// Watches what the sandbox may write for changes that the host would execute.
namespace dirbox::guard {

/// Theory of operation: guard.cpp.
class Guard {
 public:
  /// `store`: a directory that is made when something is quarantined; `plain`: PlainDirectories'.
  Guard(EventLoop& loop, Spec spec, std::string store, const std::string& plain = "");
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  /// Before anything runs inside. `told`: expect_writes() comes before the first write there.
  Result<void> start(bool told);
  void expect_writes();
  /// Handles everything that has happened. Cheap when nothing has.
  void check();
  /// `written`: false when nothing inside has made, renamed or opened for writing anything.
  void finish(bool written);
  /// The user is about to put something back: from the commit on it belongs there. Nothing to do
  /// where its path is in none of the trees.
  Result<void> accept(const PutBack& what);
  /// What start() found to be executed or read because a configuration or a symlink says so.
  const Indirect& indirect() const { return indirect_; }
  const std::vector<Finding>& findings() const { return findings_; }
  /// What could not be watched or undone, as sentences.
  const std::vector<std::string>& complaints() const { return complaints_; }
  std::uint64_t uncounted() const { return uncounted_; }
  /// Without a witness, whatever changes is held to be the sandbox's.
  Silence& silence() { return silence_; }
  void listen();

 private:
  using Node = GuardNode;
  using Place = GuardPlace;
  void announce();
  Result<void> open_trees();
  void snapshot(const Node& node, int directory);
  void on_events(std::size_t most);
  void handle(int wd, std::uint32_t mask, const std::string& name);
  void on_directory(const Node& parent, int directory, std::uint32_t mask, const std::string& name);
  std::optional<Place> find_place(const std::string& path) const;
  void note_leads(const Node& node, const std::string& name, const Entry& entry, bool made);
  std::optional<std::string> read_config(const std::string& path) const;
  void take_leads(const std::vector<Lead>& leads);
  void take_lead(Lead lead);
  void remember_followed();
  const NameRule* rule_of(const Node& node, const std::string& name) const;
  void look_at_led();
  void become_git(const Node& node, int directory, const std::string& name);
  UniqueFd open_place(std::size_t tree, const std::string& path) const;
  UniqueFd open_node(const Node& node) const;
  const Folder* folder_at(std::size_t tree, const std::string& path, int directory) const;
  std::optional<GuardAbove> open_above(const Node& node) const;
  int add_watch(int fd, const std::string& path, std::uint32_t events);
  void forget(int wd);
  bool watch(const Place& place, int directory, const Folder& folder);
  void forget(std::size_t tree, const std::string& path);
  bool watch_file(const Node& node, int directory, const std::string& name);
  void visit(const Place& first);
  std::vector<std::string> look_in(const Place& place, const Node& node, int directory,
                                   const struct stat& status);
  bool is_plain(const Place& place, const struct stat& status, std::vector<std::string>& folders);
  bool has_room(std::size_t count);
  bool was_moved(std::size_t tree, const std::string& path, int directory, const Folder& folder);
  bool is_strange(std::size_t tree, const std::string& path);
  void note_place(const Place& place, int directory, const Folder& folder);
  void note_kind(const Place& place, const Folder* folder);
  void visit_followed();
  void visit_rest();
  void look(const Node& node, int directory, const std::string& name);
  void look_at_index(const Node& node, int directory, const std::string& name, const NameRule& rule,
                     const Entry& entry);
  void undo(const Node& node, int directory, const std::string& name, const NameRule& rule,
            const Before& before, const Entry& now, std::vector<Finding> found);
  std::string set_right(const Node& node, int directory, const std::string& name,
                        const NameRule& rule, const Before& before, const Entry& now,
                        std::vector<Finding>& found);
  bool is_put_off(const Node& node, int directory, const std::string& name, const NameRule& rule,
                  const Entry& now, std::vector<Finding>& found);
  void complain(std::string text);
  bool follow(const Node& node, What what, const std::string& text);
  void look_at_all();
  void look_at_known(const Node& node);
  void look_at_gitfiles();
  void look_now();
  void arm();
  void poll_instead();
  void stop_watching();
  void walk_slice();
  Result<int> open_store();
  bool has_room_to_keep(const std::string& path, const Before& before, const Entry& now) const;
  bool add_rights_to_look(std::size_t tree, std::string_view path) const;
  Result<void> undo_with_rights(int directory, const std::function<Result<void>()>& undo);
  Before before_of(const std::string& path, const Entry& now);
  std::string full_path(std::size_t tree, const std::string& path) const;
  std::string full_name(const Node& node, const std::string& name) const;
  Inside path_to_tree(const Node& node) const;
  EventLoop& loop_;
  Spec spec_;
  std::string store_path_;
  UniqueFd inotify_, store_;
  std::vector<UniqueFd> trees_;
  Held held_;
  PlainDirectories plain_;
  Familiar familiar_;
  Indexes indexes_;
  std::optional<Place> asked_;                    ///< is_strange() of; made: its answer
  std::unordered_map<int, Node> nodes_;           ///< by watch; negative: remembered
  std::unordered_map<std::string, int> watches_;  ///< by full path
  std::map<std::string, Before> before_;          ///< by full path
  Others others_;
  Silence silence_;
  std::multimap<int, Place> links_;                     ///< more names of files that are watched
  std::vector<std::pair<Node, std::string>> gitfiles_;  ///< that have led to nothing bad so far
  Leads leads_;
  std::deque<Lead> waiting_;  ///< until those before have been taken
  Indirect indirect_;
  std::deque<Place> queue_, later_;  ///< directories to be visited; later, those of no kind
  std::vector<Place> followed_;      ///< to which a gitfile leads
  bool unwatched_ = false, unnoted_ = false;  ///< of some directory, or file, it is not known what
  std::size_t visited_ = 0;                   ///< directories, since ending_
  struct timespec started_ {};
  EventLoop::TimerId timer_ = 0;
  EventLoop::Clock::time_point begun_;
  bool watching_ = false, lacking_ = false, ending_ = false;  ///< no watch was left; the end
  int polls_ = 0, remembered_ = 0;  ///< without watches; the last number of one not asked for
  Recorder recorder_;
  Closer closer_;                                        ///< of what was removed
  std::uint64_t stored_ = 0, kept_ = 0, uncounted_ = 0;  ///< bytes and number of what is kept
  std::vector<Finding> findings_;
  std::vector<std::string> complaints_;
};

}  // namespace dirbox::guard
