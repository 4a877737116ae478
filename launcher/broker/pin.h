#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// The host's executable of an excluded command, chosen and opened once at launch.
namespace dirbox::broker {

/// An open executable file. The path is real: absolute, without symlinks.
struct PinnedFile {
  UniqueFd fd;  ///< O_RDONLY, or O_PATH for a file that may be executed but not read
  std::string path;
};

/// `#!INTERPRETER ARGUMENT`
struct Interpreter {
  PinnedFile file;
  std::string argument;
};

struct Pinned {
  std::string name;  ///< argv[0] of every execution, whatever the sandbox says
  PinnedFile file;
  std::optional<Interpreter> interpreter;  ///< set for a script
};

/// Finds `name` (no slash) in the host's PATH, or takes it as an absolute path, and opens it.
///
/// Entries of PATH that are relative or lie beneath one of `writable_roots` (real host
/// paths that the sandbox can write) are passed over, so that nothing planted there is found.
/// What is found must be a regular, executable file, owned by root or by this user, not writable
/// for everyone, and neither it nor any directory on the way to it, symlinks included, may lie
/// beneath a writable root. The same holds for the interpreter of a script, which must not be a
/// script itself.
///
/// Errors name the file and what is wrong with it; ENOENT when the command is nowhere in PATH.
Result<Pinned> pin_command(std::string_view name, std::string_view host_path,
                           std::span<const std::string> writable_roots);

/// `host_path` without the entries that pin_command passes over: the PATH of host processes.
std::string safe_path(std::string_view host_path, std::span<const std::string> writable_roots);

}  // namespace dirbox::broker
