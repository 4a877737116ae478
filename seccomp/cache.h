#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "launcher/base/result.h"
#include "seccomp/compile.h"

/// Theory of operation. A filter is kept in `DIRECTORY/KEY.bpf`, where KEY is the SHA-256 of what
/// it was made from: generator, architecture, policy. The file is
///
///   "dirboxf1" | key, 64 hexadecimal digits | SHA-256 of all that follows, 64 hexadecimal digits |
///   flags u32 | payload length u32 | payload: struct sock_filter[]             (little-endian)
///
/// and is used only if the directory and the file belong to the caller and nobody else can write
/// them, and every field is right. Anything else is not an error: the filter is built afresh and
/// the file replaced. The hash finds damage, not malice: whoever can write the directory as the
/// caller can plant a filter, so a sandbox must never see the directory. Limits: 4096 instructions.
namespace dirbox::seccomp {

/// The hexadecimal name of what `policy` compiles to on `arch`.
std::string filter_key(const Policy& policy, Arch arch);

/// What a cache file says. Errors: any byte that is not as described for `key`.
Result<Filter> parse_cache_file(std::span<const std::byte> bytes, std::string_view key);
std::string format_cache_file(const Filter& filter, std::string_view key);

struct CachedFilter {
  Filter filter;
  bool hit = false;  ///< taken from the file
  /// Why the file was not used, or could not be written; empty on a hit and on a first use. For a
  /// log; never a reason to stop.
  std::string note;
};

/// The filter for `policy`, from `directory` (made, 0700, when it is missing) or built and stored
/// there. Errors: only those of compile_filter.
Result<CachedFilter> cached_filter(const Policy& policy, const std::string& directory,
                                   Arch arch = kNativeArch);

}  // namespace dirbox::seccomp
