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
/// builds what was judged, or finds no such file. What could change the content of that last entry
/// is refused: extended headers that cut a file or put holes into it (GNU.sparse), sizes that
/// readers count differently, and a header that waits for the entry it describes.
namespace dirbox::docker {

class BuildContext {
 public:
  /// `dockerfile`: path within the context, as the client names it; "" is "Dockerfile".
  explicit BuildContext(std::string_view dockerfile);

  /// Appends to `out` what is to be sent. EBADMSG for what is no plain tar.
  Result<void> feed(std::string_view bytes, std::string& out);
  /// The archive ends here: by its blocks of zeros, after which everything is dropped, or where an
  /// entry ends, as some writers leave it. Not after a header for the next entry.
  bool complete() const {
    return type_ != 'x' && type_ != 'L' && type_ != 'K' && remaining_ == 0 &&
           (ended_ || block_.empty());
  }
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
  char type_ = '0';              ///< of the entry
  std::uint64_t remaining_ = 0;  ///< blocks of its data
  std::uint64_t capturing_ = 0;  ///< bytes of it that are still wanted
  std::string extended_;         ///< records for the next entry
  std::optional<std::string> dockerfile_;
  bool too_large_ = false;
  bool ended_ = false;
};

}  // namespace dirbox::docker
