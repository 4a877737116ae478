#include "launcher/base/text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <utility>

namespace dirbox {
namespace {

struct Decoded {
  char32_t code = 0;
  std::size_t length = 0;  // 0: malformed
};

/// RFC 3629: no overlong forms, no surrogates, at most U+10FFFF.
Decoded decode_utf8(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  std::size_t length = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (lead >= 0xf5 || length == 0 || text.size() < length) return {};
  char32_t code = lead & (0x7f >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr char32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, length};
}

/// Characters that print as nothing, reorder the line, or break it (Unicode Cf, Zl, Zp, Cc, tags).
bool is_deceptive(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x180e ||
         (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
         (c >= 0xe0000 && c <= 0xe0fff);
}

/// Characters added, removed, replaced, or swapped with their neighbour.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before, above(b.size() + 1), row(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1];
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::exchange(above, row);
  }
  return above[b.size()];
}

/// Columns that `text` takes, counting one per character and none for SGR sequences of our own.
std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '\x1b') {
      while (i < text.size() && text[i] != 'm') ++i;
      ++i;
      continue;
    }
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) ++width;
    ++i;
  }
  return width;
}

}  // namespace

bool is_printable(std::string_view text) {
  while (!text.empty()) {
    const Decoded d = decode_utf8(text);
    if (d.length == 0 || is_deceptive(d.code)) return false;
    text.remove_prefix(d.length);
  }
  return true;
}

std::string escape_for_terminal(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    Decoded d = decode_utf8(text);
    if (d.length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
      text.remove_prefix(1);
      continue;
    }
    if (d.code == '\\') {
      out += "\\\\";
    } else if (d.code == '\n') {
      out += "\\n";
    } else if (d.code == '\t') {
      out += "\\t";
    } else if (is_deceptive(d.code)) {
      out += d.code < 0x80 ? fmt::format("\\x{:02x}", static_cast<unsigned>(d.code))
                           : fmt::format("\\u{{{:x}}}", static_cast<unsigned>(d.code));
    } else {
      out += text.substr(0, d.length);
    }
    text.remove_prefix(d.length);
  }
  return out;
}

std::string escape_sentence(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t end = std::min(text.find('\\'), text.size());
    out += escape_for_terminal(text.substr(0, end));
    if (end == text.size()) return out;
    out += '\\';
    text.remove_prefix(end + 1);
  }
}

std::string escape_json_for_terminal(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  while (!json.empty()) {
    const Decoded d = decode_utf8(json);
    const std::size_t length = std::max<std::size_t>(d.length, 1);
    if (d.code < 0x7f || !is_deceptive(d.code)) {
      out += json.substr(0, length);
    } else if (d.code > 0xffff) {  // RFC 8259 7: a surrogate pair
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd7c0 + (d.code >> 10), 0xdc00 + (d.code & 0x3ff));
    } else {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(d.code));
    }
    json.remove_prefix(length);
  }
  return out;
}

std::optional<std::string_view> nearest(std::string_view word,
                                        const std::vector<std::string_view>& candidates) {
  std::optional<std::string_view> best;
  std::size_t limit = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (std::string_view candidate : candidates) {
    std::size_t distance = edit_distance(word, candidate);
    if (distance < limit) {
      limit = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  auto found = nearest(word, candidates);
  return found ? fmt::format(" (did you mean \"{}\"?)", *found) : std::string();
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t value = 0;
  std::size_t i = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, static_cast<std::uint64_t>(text[i] - '0'), &value)) {
      return std::nullopt;
    }
  }
  if (i == 0) return std::nullopt;
  if (i == text.size()) return value;
  constexpr std::string_view kSuffixes = "KMGT";
  std::size_t power = kSuffixes.find(text[i]);
  if (i + 1 != text.size() || power == std::string_view::npos) return std::nullopt;
  unsigned shift = 10 * (static_cast<unsigned>(power) + 1);
  if (value > std::numeric_limits<std::uint64_t>::max() >> shift) return std::nullopt;
  return value << shift;
}

namespace {
constexpr std::pair<char, std::int64_t> kUnits[] = {
    {'d', 86'400}, {'h', 3'600}, {'m', 60}, {'s', 1}};
}

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  constexpr std::int64_t kLongest = 365 * 86'400;
  std::int64_t unit = 1;
  for (const auto& [suffix, seconds] : kUnits) {
    if (!text.ends_with(suffix)) continue;
    unit = seconds;
    text.remove_suffix(1);
    break;
  }
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.front() == '-' || error != std::errc() ||
      end != text.data() + text.size() || value < 1 || value > kLongest / unit) {
    return std::nullopt;
  }
  return std::chrono::seconds(value * unit);
}

std::string format_duration(std::chrono::seconds duration) {
  for (const auto& [suffix, seconds] : kUnits) {
    if (duration.count() % seconds == 0 && duration.count() != 0)
      return std::to_string(duration.count() / seconds) + suffix;
  }
  return "0s";
}

std::string format_size(std::uint64_t bytes) {
  constexpr char kSuffixes[] = "KMGT";
  int power = -1;
  while (power < 3 && bytes >= 1024 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++power;
  }
  std::string out = std::to_string(bytes);
  if (power >= 0) out += kSuffixes[power];
  return out;
}

std::string join_words(std::span<const std::string> words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + shell_quote(word);
  return out;
}

std::string shell_quote(std::string_view word) {
  constexpr std::string_view kSafe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";
  if (!word.empty() && word.find_first_not_of(kSafe) == std::string_view::npos) {
    return std::string(word);
  }
  std::string out = "'";
  for (char c : word) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

bool use_color(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color && *no_color) return false;
  const char* term = std::getenv("TERM");
  return ::isatty(fd) == 1 && term && std::string_view(term) != "dumb";
}

std::string paint(std::string_view text, Color color, bool on) {
  constexpr const char* kCodes[] = {"0", "1", "2", "31", "32", "33", "36"};
  if (!on || color == Color::plain) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<int>(color)], text);
}

std::string Table::render(int indent) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    if (widths.size() < row.size()) widths.resize(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line(static_cast<std::size_t>(indent), ' ');
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - display_width(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace dirbox
