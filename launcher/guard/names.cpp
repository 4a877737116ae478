#include "launcher/guard/names.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace dirbox::guard {
namespace {

struct Range {
  char32_t first, last;
};
constexpr Range kIgnored[] = {
    {0xad, 0xad},       {0x34f, 0x34f},     {0x61c, 0x61c},   {0x115f, 0x1160}, {0x17b4, 0x17b5},
    {0x180b, 0x180f},   {0x200b, 0x200f},   {0x202a, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},
    {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},   {0xffa0, 0xffa0}, {0xfff0, 0xfff8}, {0x1bca0, 0x1bca3},
    {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
};

/// What is folded to ASCII, beside ASCII.
struct Folded {
  char32_t from;
  std::string_view to;
};
constexpr Folded kFolded[] = {
    {0xdf, "ss"},    {0x17f, "s"},   {0x1e9e, "ss"}, {0x212a, "k"},
    {0xfb00, "ff"},  {0xfb01, "fi"}, {0xfb02, "fl"}, {0xfb03, "ffi"},
    {0xfb04, "ffl"}, {0xfb05, "st"}, {0xfb06, "st"},
};

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

/// Takes one character beyond ASCII from `rest`; 0: it is no UTF-8.
char32_t take(std::string_view& rest) {
  const auto first = static_cast<unsigned char>(rest.front());
  const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
  if (size == 0 || rest.size() < size) return 0;
  char32_t out = first & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    const auto next = static_cast<unsigned char>(rest[i]);
    if ((next & 0xc0) != 0x80) return 0;
    out = out << 6 | (next & 0x3f);
  }
  rest.remove_prefix(size);
  return out;
}

}  // namespace

bool is_same_name(std::string_view plain, std::string_view name) {
  auto next_is = [&](char c) {
    if (plain.empty() || lower(plain.front()) != lower(c)) return false;
    plain.remove_prefix(1);
    return true;
  };
  while (!name.empty()) {
    if (static_cast<unsigned char>(name.front()) < 0x80) {
      if (!next_is(name.front())) return false;
      name.remove_prefix(1);
      continue;
    }
    const char32_t c = take(name);
    if (c == 0) return false;
    if (std::any_of(std::begin(kIgnored), std::end(kIgnored),
                    [&](const Range& r) { return c >= r.first && c <= r.last; })) {
      continue;
    }
    const auto* folded = std::find_if(std::begin(kFolded), std::end(kFolded),
                                      [&](const Folded& f) { return f.from == c; });
    if (folded == std::end(kFolded) ||
        !std::all_of(folded->to.begin(), folded->to.end(), next_is)) {
      return false;
    }
  }
  return plain.empty();
}

}  // namespace dirbox::guard
