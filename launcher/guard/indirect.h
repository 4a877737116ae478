#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "launcher/base/glob.h"
#include "launcher/guard/table.h"

/// What is guarded by its path: what configurations and symlinks that were there before the sandbox
/// began lead to.
namespace dirbox::guard {

inline constexpr NameRule kIncluded{"", What::config, "git's configuration includes it"};
inline constexpr NameRule kLinked{"", What::leading, "a symlink gives it a guarded name"};
inline constexpr NameRule kHeld{"", What::whole, "a pattern that is hidden or protected names it"};
inline constexpr NameRule kOnTheWay{"", What::way,
                                    "the way to what the host executes is through it"};

/// Something at an absolute path, there or not. `rule`, of a file, and `folder`, what a directory
/// would be, are of static storage; one may be nullptr.
struct Lead {
  std::string path;
  const NameRule* rule = nullptr;
  const Folder* folder = nullptr;
};

class Indirect {
 public:
  static constexpr std::size_t kMost = 1024;  ///< leads

  /// Of what no file may appear at.
  std::vector<Glob> globs{};

  enum class Added { yes, known, full };
  Added add(const Lead& lead);
  /// What is added later is known to copies of this process as well, once they catch up. Nothing
  /// that they do to the memory that is shared for it is ever read here.
  void share();
  void catch_up();

  bool empty() const { return ways_.empty(); }
  const NameRule* rule_at(const std::string& path) const;
  const Folder* folder_at(const std::string& path) const;
  /// Whether the way to something is through `path`, a directory's.
  bool is_way(const std::string& path) const { return ways_.contains(path); }
  /// The same, or something is at `path`.
  bool leads_beneath(const std::string& path) const;
  const std::map<std::string, const NameRule*>& files() const { return files_; }

 private:
  std::map<std::string, const NameRule*> files_{};
  std::map<std::string, const Folder*> folders_{};
  std::set<std::string> ways_{};         ///< every directory above one of them
  std::shared_ptr<std::byte> shared_{};  ///< the number of bytes that are used, and those
  std::size_t end_ = 0;                  ///< of them, that this process has written or read
};

}  // namespace dirbox::guard
