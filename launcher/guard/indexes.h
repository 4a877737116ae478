#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "launcher/guard/entry.h"

/// The indexes of git that are there (git_index.h), and how they are read.
namespace dirbox::guard {

/// What makes the index `name` in `directory`, whose kind is `folder`, a danger; nullopt: nothing.
/// `file` is open for reading.
std::optional<std::string> judge_index(int file, int directory, const Folder& folder,
                                       const std::string& name);
/// The same of its content.
std::optional<std::string> judge_index(const std::string& text, int directory, const Folder& folder,
                                       const std::string& name);

/// Whether a configuration lets git read an index that was there in another way than before.
bool is_other_format(const Before& before, const Entry& now);
inline constexpr NameRule kOtherFormat{
    "config", What::whole, "git reads the index in another way with that object format"};

/// Which indexes were found harmless, so that one is read once and can be put back.
class Indexes {
 public:
  static constexpr std::size_t kMost = 1024, kMostTexts = 64;  ///< that are remembered

  struct Verdict {
    bool later = false;  ///< it is to be looked at again
    std::optional<std::string> danger;
  };
  /// Of `entry`, which was read of `name`, a regular file. One that is too large to be kept is not
  /// read all the time: it can be written to faster than it is read, and others wait. `ending`:
  /// nothing writes any more.
  Verdict judge(const std::string& path, const Entry& entry, int directory, const Folder& folder,
                const std::string& name, bool ending);
  /// What is put back at `path`: the last that was harmless, else `start`, if that is; nothing
  /// where its content is not known.
  Before before_of(const std::string& path, const Before& start, int directory,
                   const Folder& folder, const std::string& name) const;

 private:
  void note(const std::string& path, const Entry& entry);

  using Clock = std::chrono::steady_clock;
  Clock::time_point rested_{};          ///< when the next large one may be read
  std::map<std::string, Before> good_;  ///< by full path
  std::size_t texts_ = 0;
};

}  // namespace dirbox::guard
