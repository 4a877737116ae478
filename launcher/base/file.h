#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// Whole-file reads and writes, hashes.
namespace dirbox {

/// The whole of an open file, up to `max_bytes` (one more byte is an error).
Result<std::string> read_fd(int fd, std::size_t max_bytes, std::string_view operand);
/// The whole of the regular file at `path`; a FIFO or device is refused, never waited for.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes = 1 << 20);
/// A memory file with `bytes` that nobody can change, at its beginning. For messages larger than a
/// datagram. `name` is what /proc shows.
Result<UniqueFd> make_sealed_file(const char* name, std::string_view bytes);
/// Writes every byte, through EINTR and short writes.
Result<void> write_all(int fd, std::string_view bytes, std::string_view operand);
/// Replaces `path` with `bytes` by a temporary file in the same directory and rename(2).
Result<void> replace_file(const std::string& path, std::string_view bytes, unsigned mode = 0600);
/// mkdir -p with `mode` for what is made; an existing directory is left as it is.
Result<void> make_directories(const std::string& path, unsigned mode = 0700);

/// Calls `each` with name and type (DT_*, DT_UNKNOWN on some file systems) of the entries of an
/// open directory, but "." and "..", from its first one, until it returns false. Not readdir(3): a
/// start reads dozens of directories, for each of which that would make a stream and a buffer. What
/// cannot be read has no entries.
void for_each_entry(int directory, const std::function<bool(const char*, unsigned char)>& each);

/// SHA-256 as 64 lower-case hexadecimal digits.
std::string sha256_hex(std::string_view bytes);

}  // namespace dirbox
