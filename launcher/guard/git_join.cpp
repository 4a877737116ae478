#include "launcher/guard/git_join.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "launcher/guard/git_config.h"

namespace dirbox::guard {
namespace {

using EntryView = std::pair<std::string_view, std::string_view>;  // key, value

void note(std::set<EntryView>& known, const ConfigFile& config) {
  for (const ConfigEntry& entry : config.entries) known.emplace(entry.key, entry.value);
}

/// The header of the section of `key`: "core", or "remote" and "origin", or with any text.
std::string section_of(std::string_view key) {
  const std::size_t dot = key.find('.'), last = key.rfind('.');
  const std::string section(key.substr(0, dot));
  if (dot == last) return fmt::format("[{}]", section);
  std::string name;
  for (const char c : key.substr(dot + 1, last - dot - 1)) {
    if (c == '"' || c == '\\') name += '\\';
    name += c;
  }
  return fmt::format("[{} \"{}\"]", section, name);
}

}  // namespace

std::string quoted_value(std::string_view value) {
  std::string out = "\"";
  for (char c : value) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\b') {
      out += "\\b";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string add_entries(std::string text, std::string_view before, std::string_view after) {
  const auto now = parse_git_config(text), theirs = parse_git_config(after);
  if (!now || !theirs) return text;
  const ConfigFile old = parse_git_config(before).value_or(ConfigFile{});
  std::set<EntryView> known;
  note(known, *now);
  note(known, old);
  for (const ConfigEntry& entry : theirs->entries) {
    if (!known.emplace(entry.key, entry.value).second) continue;
    if (!text.empty() && !text.ends_with('\n')) text += '\n';
    text += fmt::format("{}\n\t{} = {}\n", section_of(entry.key),
                        entry.key.substr(entry.key.rfind('.') + 1), quoted_value(entry.value));
  }
  return text;
}

}  // namespace dirbox::guard
