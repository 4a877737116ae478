#pragma once
#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/guard/indirect.h"
#include "launcher/guard/spec.h"

/// Where git's configurations and symlinks lead.
namespace dirbox::guard {

/// Where a path leads.
struct Way {
  std::string end;  ///< absolute, without symlinks, "." and ".."
  // Symlinks, by paths like `end`.
  std::vector<std::string> through;  ///< to directories on the way
  std::vector<std::string> names;    ///< that are other names of the end
};
/// `path`: absolute. What is not there leads to its own name.
Way follow_links(const std::string& path);

/// The text of the regular file at `path`, which no symlink leads to, up to kMaxKept; nullopt where
/// there is none, or more. Does not wait.
std::optional<std::string> read_plain(const std::string& path);

/// Reads git's configurations as git does, but for the conditions of what they include, which a
/// checkout can meet. Bounded by kMostFiles for each repository, and kMostDeep.
class Leads {
 public:
  static constexpr std::size_t kMostFiles = 64;
  static constexpr int kMostDeep = 8;  // git stops at 10 within each other

  /// The text of a configuration, by where its path leads.
  using Read = std::function<std::optional<std::string>(const std::string& path)>;
  /// `home`: what "~/" stands for.
  Leads(std::string home, Read read) : home_(std::move(home)), read_(std::move(read)) {}

  /// Of configurations that hold for every repository, which it remembers, and of the repository
  /// that each tree is in.
  std::vector<Lead> of_host(const Spec& spec);
  /// Of the repository whose work tree has its `.git` in `top`.
  std::vector<Lead> of_work_tree(const std::string& top) const;
  /// Of the git directory `git`, with the text of its `config`.
  std::vector<Lead> of_git(const std::string& git, std::string_view config) const;
  /// Of a symlink in `directory` that has a guarded name: a file with `rule`, a directory that is a
  /// `folder`, or both where it can be either. None where it leads to a directory above itself.
  static std::vector<Lead> of_link(const std::string& directory, const std::string& target,
                                   const NameRule* rule, const Folder* folder);

 private:
  struct Found {
    std::vector<std::string> hooks, templates, worktrees, files;
  };
  void read_text(std::string_view text, const std::string& directory, int depth,
                 Found& found) const;
  void read_file(const std::string& path, int depth, Found& found) const;
  std::vector<Lead> leads_of(const Found& found, std::vector<std::string> tops) const;

  std::string home_;
  Read read_;
  std::vector<std::string> hooks_;  ///< of the host's configurations, from any work tree's top
};

}  // namespace dirbox::guard
