#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "launcher/base/unique_fd.h"

/// What a process inside looks like from outside: names for the log, read with /proc and
/// process_vm_readv(2). All of it is the process's own to choose and to change; nothing may depend
/// on it but what is written to the log.
namespace dirbox::supervise {

class Task {
 public:
  explicit Task(pid_t pid) : pid_(pid) {}
  pid_t pid() const { return pid_; }

  /// `size` bytes at `address`, fewer where the mapping ends; empty when it cannot be read.
  std::string memory(std::uint64_t address, std::size_t size) const;
  /// The NUL-terminated string at `address`; nullopt when it is longer than a path can be, or
  /// cannot be read.
  std::optional<std::string> text(std::uint64_t address) const;

  std::string comm() const;
  std::string exe() const;  ///< as a path inside

  /// `path` as the process means it, seen from `directory` (a descriptor or AT_FDCWD): absolute,
  /// with the dots and symlinks that it has. Empty when that cannot be told.
  std::string absolute(int directory, std::string_view path) const;
  /// Where a relative path of the process begins: the path of `directory` as in absolute(), and
  /// what is there. False when that cannot be told.
  bool base(int directory, std::string& path, std::uint64_t& device, std::uint64_t& inode) const;
  /// True when the absolute `path` exists inside.
  bool sees(std::string_view path) const;
  /// Where an absolute path leads inside: its symlinks followed, but the last one only with
  /// `follow`. What does not exist is left as it is, without dots.
  std::string resolve(const std::string& path, bool follow) const;

 private:
  std::string link(const std::string& name) const;
  UniqueFd open_root() const;
  pid_t pid_;
};

}  // namespace dirbox::supervise
