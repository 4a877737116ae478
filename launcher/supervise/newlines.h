#pragma once
#include <string>
#include <string_view>

/// The inverse of a terminal's ONLCR, for output that passes through two terminals.
namespace dirbox::supervise {

/// Takes one carriage return from before each newline. The command's terminal has made "\r\n" of
/// every "\n", and the user's terminal, when it is not raw, will do so again.
class NewlineUndo {
 public:
  /// Appends what remains of `bytes` to `out`. A carriage return at the very end waits for what
  /// follows it.
  void append(std::string_view bytes, std::string& out);
  /// Appends a carriage return that waits: nothing follows it for the moment.
  void flush(std::string& out);

 private:
  bool held_ = false;
};

}  // namespace dirbox::supervise
