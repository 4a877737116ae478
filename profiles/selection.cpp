#include "profiles/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "profiles/text_rules.h"
#include "profiles/toml_reader.h"
#include "profiles/toml_writer.h"

// Theory of operation: an edit is made in the text, by the line that the parser says an entry
// stands on, so that comments and order stay. The result is parsed again, and used only when it
// says what was wanted: whatever form of TOML the edit did not expect is an error, never a loss.

namespace dirbox::profiles {
namespace {

constexpr std::string_view kDoing = "read the projects";

Failure refuse(std::string_view file, std::uint32_t line, std::uint32_t column,
               std::string_view detail, std::string_view hint = {}) {
  return fail(kDoing, fmt::format("{}:{}:{}", file, line, column), detail, hint);
}

Result<Selection> decode_entry(const NodeMember& member, std::string_view file) {
  const std::string& directory = member.key;
  if (!directory.starts_with('/') || path_normalize(directory) != directory) {
    return refuse(file, member.line, member.column,
                  fmt::format("\"{}\" is not an absolute directory without . and ..",
                              escape_for_terminal(directory)),
                  "dirbox project set PROFILE DIR writes it as it must be");
  }
  const std::string* profile = std::get_if<std::string>(&member.value.value);
  if (profile == nullptr) {
    return refuse(file, member.value.line, member.value.column,
                  fmt::format("a profile's name is a string, not {}", type_name(member.value)));
  }
  if (auto wrong = check_profile_name(*profile))
    return refuse(file, member.value.line, member.value.column, wrong->detail, wrong->hint);
  return Selection{directory, *profile, Origin{std::string(file), member.line, member.column}};
}

/// The byte span of line `number`, counted from 1, with its newline.
std::pair<std::size_t, std::size_t> span_of_line(std::string_view text, std::uint32_t number) {
  std::size_t begin = 0;
  for (std::uint32_t line = 1; line < number && begin < text.size(); ++line)
    begin = std::min(text.find('\n', begin), text.size() - 1) + 1;
  return {begin, std::min(text.find('\n', begin), text.size() - 1) + 1};
}

/// The position in `line` behind the string that begins at `at`; nullopt for another form.
std::optional<std::size_t> end_of_string(std::string_view line, std::size_t at) {
  if (at >= line.size() || (line[at] != '"' && line[at] != '\'')) return std::nullopt;
  const char quote = line[at];
  for (std::size_t i = at + 1; i < line.size(); ++i) {
    if (line[i] == '\\' && quote == '"') {
      ++i;
    } else if (line[i] == quote) {
      return i + 1;
    }
  }
  return std::nullopt;
}

/// The comment behind an entry, with the blanks before it; "" for a form that has none to keep.
std::string comment_of(std::string_view line) {
  const std::size_t key = line.find_first_not_of(" \t");
  auto key_end = key == line.npos ? std::nullopt : end_of_string(line, key);
  if (!key_end) return "";
  const std::size_t value = line.find_first_not_of(" \t=", *key_end);
  auto end = value == line.npos ? std::nullopt : end_of_string(line, value);
  if (!end) return "";
  std::string_view rest = line.substr(*end);
  rest = rest.substr(0, rest.find_last_not_of("\r\n") + 1);
  return rest.find('#') == rest.npos ? "" : std::string(rest);
}

/// Where [projects] itself stands; 0: nowhere.
std::uint32_t line_of_table(const NodeTable& tree) {
  for (const NodeMember& member : tree) {
    if (member.key == kSelectionName) return member.value.line;
  }
  return 0;
}

/// `edited` in its line `line`, when it says `wanted` and nothing else.
Result<std::string> check_edit(std::string edited, std::string_view file, std::uint32_t line,
                               const std::vector<Selection>& wanted) {
  auto says = [](const std::vector<Selection>& list) {
    std::vector<std::pair<std::string, std::string>> pairs;
    pairs.reserve(list.size());
    for (const Selection& s : list) pairs.emplace_back(s.directory, s.profile);
    std::sort(pairs.begin(), pairs.end());
    return pairs;
  };
  auto parsed = parse_selections(edited, file);
  if (parsed && says(*parsed) == says(wanted)) return edited;
  return fail("change the projects", fmt::format("{}:{}:1", file, line),
              "it is written in a form that cannot be changed line by line",
              "write a line for each directory under [projects], or edit the file yourself");
}

/// Where `selection` holds `directory`, if it does.
Held hold(const Selection& selection, std::string_view directory) {
  for (const std::string* place : {&selection.leads_to, &selection.directory}) {
    if (!place->empty() && path_is_beneath(directory, *place)) return {&selection, *place};
  }
  return {};
}

bool is_planted(const Held& held) {
  return held.selection != nullptr && held.selection->planted &&
         held.place == held.selection->leads_to;
}

/// `linked` is the one of the two that a symlink leads here.
Failure refuse_two(std::string_view directory, const Held& one, const Held& linked,
                   std::string_view other) {
  auto quoted = [](std::string_view path) { return escape_for_terminal(shell_quote(path)); };
  return fail(
      "choose a profile", escape_for_terminal(directory),
      fmt::format("{} says {}, {}", one.selection->origin.text(), one.selection->profile, other),
      fmt::format("dirbox project unset {}, or dirbox project set {} {}",
                  quoted(linked.selection->directory), linked.selection->profile,
                  quoted(linked.place)));
}

}  // namespace

Result<std::vector<Selection>> parse_selections(std::string_view text, std::string_view file) {
  auto tree = parse_toml(text, file);
  if (!tree) {
    Error error = std::move(tree).error();
    error.doing = kDoing;
    return Failure(std::move(error));
  }
  std::vector<Selection> out;
  for (const NodeMember& member : *tree) {
    const auto* table = std::get_if<NodeTable>(&member.value.value);
    if (member.key != kSelectionName || table == nullptr) {
      return refuse(file, member.line, member.column,
                    fmt::format("unknown key \"{}\"", escape_for_terminal(member.key)),
                    "the file has one table, [projects]");
    }
    for (const NodeMember& entry : *table) out.push_back(TRY(decode_entry(entry, file)));
  }
  return out;
}

Result<Held> decide_selection(std::span<const Selection> selections, std::string_view directory,
                              std::string_view otherwise) {
  Held nearest, sure;
  for (const Selection& selection : selections) {
    const Held held = hold(selection, directory);
    if (held.place.size() > nearest.place.size()) nearest = held;
    if (!is_planted(held) && held.place.size() > sure.place.size()) sure = held;
  }
  if (nearest.selection == nullptr) return nearest;
  for (const Selection& selection : selections) {
    const Held held = hold(selection, directory);
    if (held.place.size() == nearest.place.size() &&
        selection.profile != nearest.selection->profile) {
      return refuse_two(directory, nearest, held.place == selection.leads_to ? held : nearest,
                        fmt::format("{} {}", selection.origin.text(), selection.profile));
    }
  }
  const std::string_view profile = sure.selection != nullptr ? sure.selection->profile : otherwise;
  if (!is_planted(nearest) || nearest.selection->profile == profile) return nearest;
  return refuse_two(
      directory, nearest, nearest,
      fmt::format("{} {}, and a sandbox may have made the symlink that leads here",
                  sure.selection != nullptr ? sure.selection->origin.text() : "the default",
                  profile));
}

Result<std::string> set_selection(std::string_view text, std::string_view file,
                                  const std::string& directory, const std::string& profile) {
  std::vector<Selection> wanted = TRY(parse_selections(text, file));
  std::string line = fmt::format("{} = {}", toml_string(directory), toml_string(profile));
  if (!parse_toml(line, file)) {
    return fail("set a project", escape_for_terminal(directory),
                "its name is not UTF-8, which is all that TOML can write",
                "set a directory above it");
  }
  std::string edited(text);
  for (Selection& selection : wanted) {
    if (selection.directory != directory) continue;
    const auto [begin, end] = span_of_line(text, selection.origin.line);
    const std::string_view old = text.substr(begin, end - begin);
    edited.replace(begin, end - begin, line + comment_of(old) + "\n");
    selection.profile = profile;
    return check_edit(std::move(edited), file, selection.origin.line, wanted);
  }
  if (!edited.empty() && edited.back() != '\n') edited += '\n';
  const NodeTable tree = TRY(parse_toml(text, file));
  std::uint32_t last = line_of_table(tree);
  if (last == 0) {
    edited += fmt::format("{}[{}]\n{}\n", edited.empty() ? "" : "\n", kSelectionName, line);
  } else {
    // Behind the last entry, or behind the header: both are in the table.
    for (const Selection& selection : wanted) last = std::max(last, selection.origin.line);
    edited.insert(span_of_line(edited, last).second, line + "\n");
  }
  wanted.push_back({directory, profile, {}});
  return check_edit(std::move(edited), file, last, wanted);
}

Result<std::string> unset_selection(std::string_view text, std::string_view file,
                                    const std::string& directory) {
  std::vector<Selection> wanted = TRY(parse_selections(text, file));
  auto found = std::find_if(wanted.begin(), wanted.end(),
                            [&](const Selection& s) { return s.directory == directory; });
  if (found == wanted.end()) {
    return fail("unset a project", escape_for_terminal(directory), "it has no profile of its own",
                "dirbox project list shows those that have one");
  }
  const auto [begin, end] = span_of_line(text, found->origin.line);
  std::string edited(text);
  edited.erase(begin, end - begin);
  const std::uint32_t line = found->origin.line;
  wanted.erase(found);
  return check_edit(std::move(edited), file, line, wanted);
}

}  // namespace dirbox::profiles
