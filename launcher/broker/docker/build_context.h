#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "launcher/base/result.h"

/// The tar that `docker build` sends.
///
/// Theory of operation: everything is passed on block by block as it comes, up to the block of
/// zeros that ends the archive. On the way the Dockerfile is copied. Once it is judged, a copy of
/// it under a name that nobody inside could know is added as the last entry, and the engine is told
/// to build by that name. So it does not matter whether the engine reads the archive as we do: it
/// builds what was judged, or finds no such file.
namespace dirbox::docker {

class BuildContext {
 public:
  /// `dockerfile`: path within the context, as the client names it; "" is "Dockerfile".
  explicit BuildContext(std::string_view dockerfile);

  /// Appends to `out` what is to be sent. EBADMSG for what is no plain tar.
  Result<void> feed(std::string_view bytes, std::string& out);
  /// The archive ends here: by its blocks of zeros, after which everything is dropped, or where an
  /// entry ends, as some writers leave it.
  bool complete() const { return ended_ || (block_.empty() && remaining_ == 0); }
  /// The last regular file of that name, once complete. EPERM when there is none, or it is too
  /// large.
  Result<std::string> dockerfile() const;
  /// An entry with `content` as `name` (at most 100 bytes), and the end of the archive.
  static std::string make_end(std::string_view name, std::string_view content);

 private:
  Result<void> take_block(std::string_view block, std::string& out);
  Result<void> take_header(std::string_view block);

  std::string wanted_;
  std::string block_;            ///< incomplete
  std::uint64_t remaining_ = 0;  ///< blocks of the entry's data
  std::uint64_t capturing_ = 0;  ///< bytes of it that are still wanted
  std::optional<std::string> dockerfile_;
  bool too_large_ = false;
  bool ended_ = false;
};

}  // namespace dirbox::docker
