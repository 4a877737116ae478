#pragma once
#include <sys/stat.h>
#include <time.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// Directories in which nothing is guarded.
namespace dirbox::guard {

/// Theory of operation. Whether a directory holds a guarded name is known only by reading it, which
/// costs 20 to 30 us each where it has a hundred entries. What was read once holds until an entry
/// is made, renamed or removed: the kernel sets the ctime of the directory then, and nobody can set
/// that back. So a directory counts as plain while device, inode and ctime are those of a look at
/// which it held no guarded name and no directory of a kind of its own, and which came later than
/// that ctime. That is kept from one sandbox to the next, out of reach of all, in a file:
///
///   "dirboxp1" | digest of the guarded names u64 | for each directory: device u64, inode u64,
///   ctime in seconds i64 and nanoseconds u32, length u32, names of its directories, each with a
///   NUL                                                                       (the machine's
///   order)
///
/// A file that is not so, or is of other names, counts as none. Limits: only on file systems of
/// which it is known that they keep such times; up to kMost directories.
class PlainDirectories {
 public:
  static constexpr std::size_t kMost = 200'000;
  /// New ones that are worth a file.
  static constexpr std::size_t kWorthIt = 32;

  /// `file` is read when something is asked for first; "": nothing is kept.
  explicit PlainDirectories(std::string file) : file_(std::move(file)) {}

  /// True when a directory is plain, whose fstat(2) is `status`; then `folders` are the names of
  /// the directories in it.
  bool find(const struct stat& status, std::vector<std::string>& folders);
  /// A look found no guarded name in `directory`, and these directories. `status` was read before
  /// the look, whose ctime is earlier than the last tick of the clock of file systems.
  void add(int directory, const struct stat& status, const std::vector<std::string>& folders);
  /// Replaces the file, where there is enough that is new. Where that fails the next sandbox has to
  /// look again: slower, not less safe.
  void save() const;

 private:
  struct Key {
    std::uint64_t device, inode;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const;
  };
  struct Known {
    std::int64_t seconds;
    std::uint32_t nanoseconds;
    bool used;  ///< found or added since the file was read
    std::string folders;
  };
  void load();
  void parse(std::string_view bytes);
  bool keeps_times(int directory, dev_t device);

  std::string file_;
  bool loaded_ = false;
  std::size_t added_ = 0;
  std::unordered_map<Key, Known, Hash> known_;
  std::unordered_map<dev_t, bool> devices_;
};

/// Where they are kept in dirbox's state directory, for all that are to be guarded with `tree`; ""
/// without a state directory.
std::string plain_file(const std::string& state_directory, const std::string& tree);

}  // namespace dirbox::guard
