#include "profiles/values.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"

namespace dirbox::profiles {

std::string in_quotes(std::string_view text) {
  return fmt::format("\"{}\"", escape_for_terminal(text));
}

Failure fail_type(const Place& place, const Row& row, std::string_view wanted, const Node& got) {
  return place.at(got).fail(
      fmt::format("{} takes {}, not {}", row.full_name(), wanted, type_name(got)),
      fmt::format("for example {} = {}", row.key, row.example));
}

namespace {

Result<void> check_text(const Place& place, const Row& row, std::string_view text) {
  if (row.check == nullptr) return {};
  auto complaint = row.check(text);
  if (!complaint) return {};
  return place.fail(fmt::format("{}: {}", row.full_name(), complaint->detail), complaint->hint);
}

}  // namespace

Result<std::string> decode_text(const Place& place, const Row& row, const Node& node) {
  const auto* text = std::get_if<std::string>(&node.value);
  if (text == nullptr) return fail_type(place, row, "a string", node);
  TRY_VOID(check_text(place.at(node), row, *text));
  return *text;
}

Result<std::size_t> decode_choice(const Place& place, const Row& row, const Node& node) {
  auto words = choices_of(row);
  const auto* text = std::get_if<std::string>(&node.value);
  if (text == nullptr) return fail_type(place, row, "a string", node);
  auto found = std::find(words.begin(), words.end(), *text);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  return place.at(node).fail(fmt::format("{}: unknown value {}{}", row.full_name(),
                                         in_quotes(*text), did_you_mean(*text, words)),
                             fmt::format("it is one of {}", fmt::join(words, ", ")));
}

Result<bool> decode_bool(const Place& place, const Row& row, const Node& node) {
  if (!row.choices.empty()) return TRY(decode_choice(place, row, node)) != 0;
  const auto* value = std::get_if<bool>(&node.value);
  if (value == nullptr) return fail_type(place, row, "true or false", node);
  return *value;
}

Result<std::uint64_t> decode_number(const Place& place, const Row& row, const Node& node) {
  const bool sized = row.kind == Kind::size;
  const auto* integer = std::get_if<std::int64_t>(&node.value);
  const auto* text = std::get_if<std::string>(&node.value);
  std::optional<std::uint64_t> value;
  if (integer != nullptr && *integer >= 0) value = static_cast<std::uint64_t>(*integer);
  if (text != nullptr && sized) {
    value = parse_size(*text);
    if (!value) {
      return place.at(node).fail(
          fmt::format("{}: malformed size {}", row.full_name(), in_quotes(*text)),
          "a size is an integer with K, M, G or T behind it, or bytes");
    }
  }
  if (integer == nullptr && (text == nullptr || !sized)) {
    return fail_type(place, row, sized ? "a size" : "an integer", node);
  }
  if (value && *value >= row.min && *value <= row.max) return *value;
  auto show = [&](std::uint64_t n) { return sized ? format_size(n) : std::to_string(n); };
  return place.at(node).fail(
      fmt::format("{}: out of range", row.full_name()),
      row.max >= std::numeric_limits<std::int64_t>::max()
          ? fmt::format("it is at least {}", show(row.min))
          : fmt::format("it is from {} to {}", show(row.min), show(row.max)));
}

Result<const NodeList*> decode_list(const Place& place, const Row& row, const Node& node) {
  const auto* list = std::get_if<NodeList>(&node.value);
  if (list == nullptr) return fail_type(place, row, "a list", node);
  if (!list->empty()) return list;
  return place.at(node).fail(
      fmt::format("{} is an empty list", row.full_name()),
      row.merge == Merge::append
          ? "an empty list adds nothing; an inherited entry is removed by \"-entry\""
          : "leave the key out");
}

namespace {

struct MarkKey {
  std::string_view key;
  unsigned mark;
  bool Entry::*flag;
};
constexpr MarkKey kMarkKeys[] = {{"optional", kOptional, &Entry::optional},
                                 {"create", kCreate, &Entry::create},
                                 {"dangerous", kDangerous, &Entry::dangerous}};

Result<Entry> decode_entry_table(const Place& place, const Row& row, const Node& node) {
  Entry entry;
  const std::string_view text_key = row.kind == Kind::paths ? "path" : "name";
  for (const auto& [key, line, column, value] : std::get<NodeTable>(node.value)) {
    const Place here{place.file, line, column};
    if (key == text_key) {
      const auto* text = std::get_if<std::string>(&value.value);
      if (text == nullptr) return fail_type(here, row, "a string", value);
      entry.text = *text;
      TRY_VOID(check_text(here.at(value), row, entry.text));
      continue;
    }
    std::vector<std::string_view> known{text_key};
    const MarkKey* found = nullptr;
    for (const MarkKey& mark : kMarkKeys) {
      if ((row.marks & mark.mark) == 0) continue;
      known.push_back(mark.key);
      if (mark.key == key) found = &mark;
    }
    if (found == nullptr) {
      return here.fail(fmt::format("{}: unknown key {} of an entry{}", row.full_name(),
                                   in_quotes(key), did_you_mean(key, known)),
                       fmt::format("an entry has {}", fmt::join(known, ", ")));
    }
    const auto* on = std::get_if<bool>(&value.value);
    if (on == nullptr) {
      return here.at(value).fail(
          fmt::format("{} takes true or false, not {}", found->key, type_name(value)));
    }
    entry.*found->flag = *on;
  }
  if (entry.text.empty()) {
    return place.at(node).fail(
        fmt::format("{}: an entry without {}", row.full_name(), text_key),
        fmt::format("for example {{{} = \"…\", optional = true}}", text_key));
  }
  return entry;
}

}  // namespace

Result<Entry> decode_entry(const Place& place, const Row& row, const Node& node, bool& removal) {
  const Place here = place.at(node);
  Entry entry;
  removal = false;
  if (const auto* text = std::get_if<std::string>(&node.value)) {
    std::string_view rest = *text;
    if (rest.substr(0, 1) == "-") {
      removal = true;
      rest.remove_prefix(1);
    } else if (rest.substr(0, 1) == "?") {
      if ((row.marks & kOptional) == 0) {
        return here.fail(
            fmt::format("{}: {} has no optional entries", in_quotes(*text), row.full_name()));
      }
      entry.optional = true;
      rest.remove_prefix(1);
    }
    entry.text = rest;
    TRY_VOID(check_text(here, row, entry.text));
  } else if (std::holds_alternative<NodeTable>(node.value)) {
    entry = TRY(decode_entry_table(place, row, node));
  } else {
    return fail_type(place, row, "strings or tables in its list", node);
  }
  if (row.kind == Kind::paths) entry.text = canonical_path(entry.text);
  if ((row.marks & kAlwaysOptional) != 0) entry.optional = true;
  entry.origin = here.origin();
  return entry;
}

}  // namespace dirbox::profiles
