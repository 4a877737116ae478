#include "launcher/cli/events.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"

namespace dirbox::cli {

using log::Event;
using log::Kind;
using log::Operation;

std::string summary_line(const Event& event) {
  std::string line =
      event.kind == Kind::denied ? "blocked: " : fmt::format("{}: ", log::kind_name(event.kind));
  const bool network =
      event.operation == Operation::connect || event.operation == Operation::resolve;
  if (!network && event.operation != Operation::none)
    line += fmt::format("{} ", log::operation_name(event.operation));
  line += event.subject.empty() && network ? "a connection" : escape_for_terminal(event.subject);
  std::string why = escape_for_terminal(event.cause);
  if (!event.detail.empty()) why += (why.empty() ? "" : ": ") + escape_for_terminal(event.detail);
  if (!event.origin.empty() && event.kind == Kind::denied)
    why += "; " + escape_for_terminal(event.origin);
  if (!why.empty()) line += fmt::format(" ({})", why);
  if (event.count > 1) line += fmt::format(", {} times", event.count);
  if (std::string cure = log::describe_cure(event); !cure.empty()) line += "; " + cure;
  return line;
}

std::size_t print_summary(std::FILE* out, const std::vector<Event>& events, bool verbose) {
  constexpr std::size_t kMostLines = 100;
  std::size_t lines = 0;
  for (const Event& event : events) {
    const bool quiet =
        event.kind == Kind::failed || event.kind == Kind::rules || event.kind == Kind::run;
    if (event.kind == Kind::fault || (quiet && !verbose)) continue;
    if (++lines <= kMostLines || verbose) fmt::print(out, "dirbox: {}\n", summary_line(event));
  }
  return verbose ? 0 : lines - std::min(lines, kMostLines);
}

}  // namespace dirbox::cli
