#include "launcher/base/result.h"

#include <fmt/format.h>

#include <cstring>

namespace dirbox {

std::string errno_name(int err) {
  const char* name = strerrorname_np(err);
  return name ? name : fmt::format("errno {}", err);
}

std::string Error::message() const {
  std::string text = doing;
  if (!operand.empty()) text += ": " + operand;
  if (err != 0)
    text += fmt::format(": {} ({})", errno_name(err), strerrordesc_np(err) ?: "unknown");
  if (!detail.empty()) text += ": " + detail;
  return text;
}

Failure fail_errno(std::string_view doing, std::string_view operand, int err,
                   std::string_view hint) {
  return Failure(Error{std::string(doing), std::string(operand), err, {}, std::string(hint)});
}

Failure fail(std::string_view doing, std::string_view operand, std::string_view detail,
             std::string_view hint) {
  return Failure(
      Error{std::string(doing), std::string(operand), 0, std::string(detail), std::string(hint)});
}

}  // namespace dirbox
