#pragma once
#include <string>
#include <vector>

#include "launcher/base/unique_fd.h"
#include "launcher/guard/call.h"
#include "launcher/guard/indirect.h"
#include "launcher/guard/table.h"

/// Where a name of a guarded tree really is, and what it means there.
namespace dirbox::guard {

/// One entry of one directory: nothing but the last component is left to resolve, and that is no
/// symlink that shall be followed.
struct Place {
  UniqueFd directory;              ///< O_PATH
  std::string parent;              ///< its path, absolute and without symlinks
  std::string name;                ///< "." for `directory` itself
  bool slash = false;              ///< a '/' came after the name
  const Folder* folder = nullptr;  ///< what `directory` is

  std::string path() const;
};

class Places {
 public:
  /// `trees`: absolute paths of directories, none within another. Opens nothing.
  Places(std::vector<std::string> trees, Indirect indirect);

  enum class Found {
    yes,
    elsewhere,  ///< outside the trees, or no such way: it is not told apart
    refused,    ///< a symlink that `resolve` does not let be followed
  };
  /// Resolves a name as the kernel would for the caller, but for magic links, in this process's own
  /// root. `resolve`: RESOLVE_* that the caller asked for.
  Found find(const Name& name, bool follow, std::uint64_t resolve, Place& out) const;

  /// What the guard has found since.
  void catch_up() { indirect_.catch_up(); }
  /// The rule of an entry; nullptr: its content is the caller's.
  const NameRule* rule_of(const Place& place) const;
  /// True where only a directory is harmless: its name stands for one whose files are executed.
  bool stands_for_folder(const Place& place) const;
  /// What a directory at `place` would be.
  const Folder* kind_of(const Place& place) const;
  /// True when something that a configuration leads to is at or beneath `path`.
  bool leads_beneath(const std::string& path) const;
  /// True when a pattern names something beneath `to` that it did not name beneath `from`.
  bool is_more_held(const std::string& from, const std::string& to) const;
  /// The tree that `path` is in; nullptr: none.
  const std::string* tree_of(const std::string& path) const;
  bool is_inside(const std::string& path) const { return tree_of(path) != nullptr; }

 private:
  Found find_base(const Name& name, Place& out) const;
  const Folder* folder_of(const std::string& path) const;

  std::vector<std::string> trees_;
  Indirect indirect_;
};

}  // namespace dirbox::guard
