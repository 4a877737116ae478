#pragma once
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "launcher/guard/identity.h"

/// Directories of a kind of their own (table.h), and whether they are where they were.
namespace dirbox::guard {

/// Theory of operation. What stood in such a directory before the sandbox began is the user's, and
/// a file's ctime says since when it is there; but not where: renaming a directory, or adding what
/// makes a git directory of it, changes no time of the files in it, which an earlier sandbox, or
/// the author of a clone, can have put there when nobody looked at them. So it is remembered which
/// directory was at a path, from run to run in a file:
///
///   "dirboxf1" | for each: device u64, inode u64, born i64, length u32, path   (the machine's
///   order)
///
/// Who was at its path neither in this run nor in an earlier one, and can have come there since
/// this one began, is a stranger: nothing in it is the user's. The file is gone while a sandbox
/// writes, so that one that is killed leaves no lies in it.
class Familiar {
 public:
  static constexpr std::size_t kMost = 10'000;  ///< that are remembered

  /// "": nothing is kept from run to run.
  explicit Familiar(std::string file) : file_(std::move(file)) {}

  /// Before the sandbox changes anything.
  void begin();
  /// The directory was looked at. `lasting`: for later runs as well, which do not look at it by
  /// themselves when they begin.
  void note(const std::string& path, int directory, bool lasting);
  /// What is there is of no kind of its own.
  void forget(const std::string& path);
  bool knows(const std::string& path, int directory) const;
  void add_stranger(const std::string& path);
  bool is_stranger(const std::string& path) const;
  /// After the end: keeps those that are still there. Where it fails the next run knows less.
  void save();

 private:
  void parse(std::string_view bytes);

  std::string file_;
  bool begun_ = false;
  std::map<std::string, Identity> here_, earlier_;  ///< by full path; earlier_ lasts
  std::set<std::string> strangers_;
};

}  // namespace dirbox::guard
