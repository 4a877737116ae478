#include "launcher/guard/git_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "launcher/base/file.h"
#include "launcher/guard/git_join.h"

// Theory of operation: the parser follows git's own reader (config.c) character by character, so
// that both see the same entries: CR LF is a line end and a lone CR a blank, a name is folded to
// lower case, a quoted subsection is not, a value may go on behind a backslash at the end of a
// line. What git refuses is refused here. A NUL, which C strings end at, is refused as well.

namespace dirbox::guard {
namespace {

bool is_blank(int c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_alpha(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_key(int c) { return is_alpha(c) || (c >= '0' && c <= '9') || c == '-'; }
char lower(int c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {
    constexpr std::string_view kMark = "\xef\xbb\xbf";
    if (text_.starts_with(kMark)) at_ = kMark.size();
  }

  Result<ConfigFile> run() {
    if (text_.find('\0') != text_.npos) return bad("a NUL");
    bool comment = false;
    while (!ended_) {
      const std::size_t begin = at_;
      const int c = next();
      if (c == '\n') {
        comment = false;
      } else if (comment || is_blank(c)) {
        continue;
      } else if (c == '#' || c == ';') {
        comment = true;
      } else if (c == '[') {
        TRY_VOID(read_section());
      } else if (is_alpha(c)) {
        TRY_VOID(read_entry(begin, c));
      } else {
        return bad("neither a section nor a name");
      }
    }
    return std::move(out_);
  }

 private:
  /// The next character; '\n' at the end of the text.
  int next() {
    if (at_ >= text_.size()) {
      ended_ = true;
      return '\n';
    }
    char c = text_[at_++];
    if (c == '\r' && at_ < text_.size() && text_[at_] == '\n') c = text_[at_++];
    if (c == '\n') ++line_;
    return static_cast<unsigned char>(c);
  }

  Failure bad(std::string_view what) const {
    return fail("read a git configuration", fmt::format("line {}", line_), what);
  }

  Result<void> read_section() {
    section_.clear();
    for (;;) {
      const int c = next();
      if (ended_) return bad("a section that does not end");
      if (c == ']') break;
      if (is_blank(c)) {
        TRY_VOID(read_subsection(c));
        break;
      }
      if (!is_key(c) && c != '.') return bad("a section's name");
      section_ += lower(c);
    }
    section_ += '.';
    return {};
  }

  Result<void> read_subsection(int c) {
    while (is_blank(c)) {
      if (c == '\n') return bad("a section that does not end");
      c = next();
    }
    if (c != '"') return bad("a subsection without quotes");
    section_ += '.';
    for (;;) {
      c = next();
      if (c == '"') break;
      if (c == '\\') c = next();
      if (c == '\n') return bad("a subsection that does not end");
      section_ += static_cast<char>(c);
    }
    if (next() != ']') return bad("a section that does not end");
    return {};
  }

  Result<void> read_entry(std::size_t begin, int c) {
    ConfigEntry entry;
    entry.begin = begin;
    entry.line = line_;
    entry.key = section_;
    while (!ended_ && is_key(c)) {
      entry.key += lower(c);
      c = next();
    }
    while (c == ' ' || c == '\t') c = next();
    if (c == '\n') {
      entry.value = "true";
    } else if (c == '=') {
      entry.value = TRY(read_value());
    } else {
      return bad("a name without =");
    }
    entry.end = ended_ ? at_ : at_ - 1;
    if (!ended_ && entry.end > begin && text_[entry.end - 1] == '\r') --entry.end;
    out_.entries.push_back(std::move(entry));
    return {};
  }

  Result<std::string> read_value() {
    std::string value;
    std::size_t kept = 0;  // what is behind are blanks, perhaps at the end
    bool quoted = false, comment = false;
    for (;;) {
      int c = next();
      if (c == '\n') {
        if (quoted) return bad("a quote that does not end");
        value.resize(kept);
        return value;
      }
      if (comment) continue;
      if (is_blank(c) && !quoted) {
        if (!value.empty()) value += static_cast<char>(c);
        continue;
      }
      if (!quoted && (c == ';' || c == '#')) {
        comment = true;
        continue;
      }
      if (c == '"') {
        quoted = !quoted;
        kept = value.size();
        continue;
      }
      if (c == '\\') {
        c = next();
        if (c == '\n' && !ended_) continue;
        constexpr std::string_view kMarks = "tbn\\\"", kMeant = "\t\b\n\\\"";
        const std::size_t known = kMarks.find(static_cast<char>(c));
        if (c == '\n' || known == kMarks.npos) return bad("an unknown escape");
        c = static_cast<unsigned char>(kMeant[known]);
      }
      value += static_cast<char>(c);
      kept = value.size();
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
  bool ended_ = false;
  std::string section_;  ///< with a dot at the end
  ConfigFile out_;
};

/// The bytes of `entry` and what comes in their place; without a line, all of its own line goes.
struct Edit {
  std::size_t begin, end;
  std::string line;
};
Edit edit_entry(std::string_view text, const ConfigEntry& entry, std::string line) {
  Edit out{entry.begin, entry.end, std::move(line)};
  if (!out.line.empty()) return out;
  const std::size_t start = text.rfind('\n', out.begin);
  const std::size_t first = start == text.npos || out.begin == 0 ? 0 : start + 1;
  if (text.find_first_not_of(" \t", first) == out.begin) {
    out.begin = first;
    out.end = std::min(text.find('\n', out.end), text.size() - 1) + 1;
  }
  return out;
}

/// `edits` from the last one in the text to the first.
std::string apply_edits(std::string_view text, const std::vector<Edit>& edits) {
  std::string out;
  std::size_t at = 0;
  for (auto edit = edits.rbegin(); edit != edits.rend(); ++edit) {
    out.append(text.substr(at, edit->begin - at)).append(edit->line);
    at = edit->end;
  }
  return out.append(text.substr(at));
}

using EntryView = std::pair<std::string_view, std::string_view>;  // key, value
std::set<EntryView> views_of(const std::vector<ConfigEntry>& entries) {
  std::set<EntryView> out;
  for (const ConfigEntry& entry : entries) out.emplace(entry.key, entry.value);
  return out;
}

}  // namespace

Result<ConfigFile> parse_git_config(std::string_view text) { return Parser(text).run(); }

std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  return std::string(text.substr(0, most)) + "…";
}

std::string entry_id(std::string_view key, std::string_view value) {
  constexpr std::size_t kDigits = 32;
  return sha256_hex(shortened(key) + '\0' + shortened(value)).substr(0, kDigits);
}

std::string without_entries(std::string_view text, const std::set<std::string>& ids) {
  const ConfigFile config = parse_git_config(text).value_or(ConfigFile{});
  std::vector<Edit> edits;
  for (auto entry = config.entries.rbegin(); entry != config.entries.rend(); ++entry) {
    if (config_danger(entry->key, entry->value) != nullptr &&
        ids.contains(entry_id(entry->key, entry->value))) {
      edits.push_back(edit_entry(text, *entry, ""));
    }
  }
  return apply_edits(text, edits);
}

Result<CleanedConfig> clean_git_config(std::string_view before, std::string_view after,
                                       const Inside& inside) {
  const ConfigFile now = TRY(parse_git_config(after));
  const ConfigFile old = parse_git_config(before).value_or(ConfigFile{});
  const std::set<EntryView> were = views_of(old.entries), are = views_of(now.entries);
  std::map<std::string_view, const ConfigEntry*> last;  // of each key from before
  for (const ConfigEntry& entry : old.entries) last[entry.key] = &entry;
  std::set<std::string_view> put_back;  // keys
  CleanedConfig out;
  std::vector<Edit> edits;
  // From the end: it is the last value of a key that counts, so there it comes back.
  for (auto entry = now.entries.rbegin(); entry != now.entries.rend(); ++entry) {
    const char* why = config_danger(entry->key, entry->value, inside);
    if (why == nullptr || were.contains({entry->key, entry->value})) continue;
    if (out.changes.size() == kMaxDangers)
      return fail("read a git configuration", fmt::format("line {}", entry->line),
                  fmt::format("more than {} changes that git would execute", kMaxDangers));
    ConfigChange change{shortened(entry->key), {}, shortened(entry->value), entry->line, why};
    std::string line;
    if (const auto was = last.find(entry->key); was != last.end()) {
      const auto& [key, value] = std::pair(was->first, std::string_view(was->second->value));
      change.before = shortened(value);
      if (!are.contains({key, value}) && put_back.insert(key).second)
        line = fmt::format("{} = {}", key.substr(key.rfind('.') + 1), quoted_value(value));
    }
    edits.push_back(edit_entry(after, *entry, std::move(line)));
    out.changes.push_back(std::move(change));
  }
  std::reverse(out.changes.begin(), out.changes.end());
  out.text = apply_edits(after, edits);
  return out;
}

}  // namespace dirbox::guard
