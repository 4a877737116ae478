#include "launcher/supervise/newlines.h"

namespace dirbox::supervise {

void NewlineUndo::append(std::string_view bytes, std::string& out) {
  if (bytes.empty()) return;
  if (held_ && bytes.front() != '\n') out += '\r';
  held_ = false;
  while (!bytes.empty()) {
    std::size_t end = bytes.find('\r');
    out.append(bytes.substr(0, end));
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    if (bytes.empty())
      held_ = true;
    else if (bytes.front() != '\n')
      out += '\r';
  }
}

void NewlineUndo::flush(std::string& out) {
  if (held_) out += '\r';
  held_ = false;
}

}  // namespace dirbox::supervise
