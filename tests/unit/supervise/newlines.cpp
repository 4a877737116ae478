#include "launcher/supervise/newlines.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace dirbox::supervise {
namespace {

/// What a terminal with OPOST and ONLCR makes of `text`.
std::string post_process(std::string_view text) {
  std::string out;
  for (char c : text) out += c == '\n' ? "\r\n" : std::string(1, c);
  return out;
}

std::string undo(std::string_view text, std::size_t piece) {
  NewlineUndo undo;
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += piece) undo.append(text.substr(i, piece), out);
  undo.flush(out);
  return out;
}

TEST_CASE("undoing ONLCR gives back every text, however it is cut") {
  // All texts of up to six of these characters.
  constexpr std::string_view kAlphabet = "\r\na";
  for (std::size_t length = 0; length <= 6; ++length) {
    std::size_t count = 1;
    for (std::size_t i = 0; i < length; ++i) count *= kAlphabet.size();
    for (std::size_t number = 0; number < count; ++number) {
      std::string text;
      for (std::size_t i = 0, rest = number; i < length; ++i, rest /= kAlphabet.size())
        text += kAlphabet[rest % kAlphabet.size()];
      for (std::size_t piece = 1; piece <= 4; ++piece)
        REQUIRE(undo(post_process(text), piece) == text);
    }
  }
}

TEST_CASE("a carriage return at the end waits, and is not lost") {
  NewlineUndo undo;
  std::string out;
  undo.append("50%\r", out);
  CHECK(out == "50%");
  undo.flush(out);
  CHECK(out == "50%\r");
  undo.flush(out);
  CHECK(out == "50%\r");
}

}  // namespace
}  // namespace dirbox::supervise
