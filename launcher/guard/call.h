#pragma once
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "launcher/base/result.h"

/// What the supervisor's side asks of the writer (writer.h), and the answer. Both ends are this
/// program; the texts in it are the caller's.
namespace dirbox::guard {

enum class Act : std::uint32_t {
  open,       ///< for writing, or of what may have to be made
  truncate,   ///< size
  directory,  ///< make: mode
  node,       ///< make: mode with the type
  link,       ///< names[0] to names[1]
  symlink,    ///< names[0].path, as text, at names[1]
  rename,     ///< names[0] to names[1]
  remove,     ///< flags: AT_REMOVEDIR
  mode,
  owner,
  times,
  attribute,  ///< extended: as on a file system that has none
  access,     ///< mode: R_OK and so on
};

/// A name as a caller means it.
struct Name {
  std::string base;  ///< absolute: where a relative path begins; "" for an absolute one
  std::uint64_t device = 0, inode = 0;  ///< of what was at `base`
  std::string path;                     ///< "": what is at `base` itself is meant
};

/// A copy of a system call's arguments.
struct Call {
  Act act{};
  std::uint32_t flags = 0;  ///< O_*, AT_* or RENAME_*
  std::uint32_t mode = 0;
  std::uint32_t mask = 0;  ///< the caller's umask
  std::uint32_t owner = 0, group = 0;
  std::uint64_t resolve = 0;  ///< RESOLVE_*, of openat2(2)
  std::int64_t size = 0;
  timespec times[2] = {};
  Name names[2];
};

struct Answer {
  enum class Kind : std::uint32_t {
    done,      ///< `descriptor` says whether one comes with it
    failed,    ///< err
    guarded,   ///< err; `path` is guarded because of `why`
    not_mine,  ///< nothing was done: the kernel decides about the call
  };
  Kind kind = Kind::not_mine;
  int err = 0;
  std::string path, why;
  /// `descriptor` is of a file that can be executed, which fails while anybody has it open for
  /// writing: a second message says that the writer has closed it.
  bool executable = false;
};

inline constexpr std::size_t kMaxCall = 20 << 10;  ///< four paths and the rest
inline constexpr std::size_t kMaxAnswer = 8 << 10;

/// Errors: longer than kMaxCall.
Result<std::vector<std::byte>> encode_call(const Call& call);
Result<Call> parse_call(std::span<const std::byte> bytes);
std::vector<std::byte> encode_answer(const Answer& answer);
Result<Answer> parse_answer(std::span<const std::byte> bytes);

}  // namespace dirbox::guard
