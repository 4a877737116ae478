#pragma once
#include <cerrno>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace dirbox {

/// What went wrong, in the form that the user reads:
/// `dirbox: <doing>: <operand>: <ERRNO> (<text>)`, then `hint: <hint>`.
struct Error {
  std::string doing;    ///< what we wanted: "mount tmpfs"
  std::string operand;  ///< on what: a path, a key, a host
  int err = 0;          ///< errno, or 0 where `detail` says it
  std::string detail;   ///< text in place of, or after, the errno
  std::string hint;     ///< what the user can do, one sentence

  /// The first line, without the "dirbox: " prefix.
  std::string message() const;
};

/// Value or Error. [[nodiscard]]: a dropped Result is a dropped error.
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Failure = tl::unexpected<Error>;

/// A Failure from errno (or an explicit errno value).
Failure fail_errno(std::string_view doing, std::string_view operand, int err = errno,
                   std::string_view hint = {});
/// A Failure that no errno explains.
Failure fail(std::string_view doing, std::string_view operand, std::string_view detail,
             std::string_view hint = {});

/// "ENOENT" for 2; "errno 4095" where the C library knows no name.
std::string errno_name(int err);

}  // namespace dirbox

/// Unwraps a Result or returns its Error from the enclosing function.
/// Not within a braced list after another element: g++ and clang leave the elements before it
/// undestroyed when it returns. Give it a variable of its own there.
#define TRY(...)                                                                \
  ({                                                                            \
    auto try_result_ = (__VA_ARGS__);                                           \
    if (!try_result_) return ::dirbox::Failure(std::move(try_result_).error()); \
    std::move(try_result_).value();                                             \
  })
/// The same for Result<void>, and for a value that is not needed.
#define TRY_VOID(...)                                                           \
  do {                                                                          \
    auto try_result_ = (__VA_ARGS__);                                           \
    if (!try_result_) return ::dirbox::Failure(std::move(try_result_).error()); \
  } while (false)
