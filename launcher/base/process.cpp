#include "launcher/base/process.h"

#include <fmt/format.h>

#include <charconv>

#include "launcher/base/file.h"

namespace dirbox {

std::optional<ProcessState> read_process_state(pid_t pid) {
  auto text = read_file(fmt::format("/proc/{}/stat", pid));
  if (!text) return std::nullopt;
  // "PID (NAME) STATE PARENT": the name may hold anything.
  constexpr std::size_t kState = 2, kParent = 4;  // from the last ')'
  const std::size_t end = text->rfind(") ");
  if (end == text->npos || end + kParent >= text->size()) return std::nullopt;
  ProcessState out{(*text)[end + kState], 0};
  const char* last = text->data() + text->size();
  if (std::from_chars(text->data() + end + kParent, last, out.parent).ec != std::errc())
    return std::nullopt;
  return out;
}

}  // namespace dirbox
