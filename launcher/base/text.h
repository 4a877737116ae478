#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Text for people: escaping, tables, colour, near-miss suggestions, sizes, durations.
namespace dirbox {

/// `text` safe to print on a terminal and on one line: control characters, DEL, C1, bidi and other
/// format characters, line separators and malformed UTF-8 become \xNN or \u{N}; '\' doubles.
/// (CWE-150; Trojan Source, CVE-2021-42574.)
std::string escape_for_terminal(std::string_view text);
/// True for text of which escape_for_terminal() changes nothing but '\'.
bool is_printable(std::string_view text);
/// A sentence, safe for a terminal and on one line, of which parts may be escaped already: other
/// than with escape_for_terminal(), '\' stays.
std::string escape_sentence(std::string_view text);
/// The same JSON, from DEL on without those characters: they become \uNNNN.
std::string escape_json_for_terminal(std::string_view json);

/// The candidate nearest to `word` by edit distance, when close enough to be a typo.
std::optional<std::string_view> nearest(std::string_view word,
                                        const std::vector<std::string_view>& candidates);
/// " (did you mean "x"?)" or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

/// "64M" -> 67108864. Suffixes K, M, G, T (powers of 1024), no sign, no fraction. nullopt when
/// malformed.
std::optional<std::uint64_t> parse_size(std::string_view text);
/// The shortest exact form: "64M", "1536K", "17".
std::string format_size(std::uint64_t bytes);

/// "10m" -> 600 s. Suffixes s, m, h, d, without one seconds; no sign, no fraction, at most 365d.
/// nullopt when malformed or 0.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);
/// The largest unit that is exact: "10m", "90s".
std::string format_duration(std::chrono::seconds duration);

/// Single-quoted for a POSIX shell when it needs to be, so that a hint can be pasted.
std::string shell_quote(std::string_view word);
/// Words that a POSIX shell reads as these words.
std::string join_words(std::span<const std::string> words);

/// Colour for one stream: on for a tty unless NO_COLOR is set and not empty, or TERM=dumb.
bool use_color(int fd);

enum class Color { plain, bold, dim, red, green, yellow, cyan };
/// `text` in `color` when `on`, else unchanged.
std::string paint(std::string_view text, Color color, bool on);

/// Columns aligned by display width, two spaces between, no trailing spaces.
class Table {
 public:
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  /// One string, a line per row. `indent` spaces before each.
  std::string render(int indent = 0) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace dirbox
