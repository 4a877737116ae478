#include "profiles/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>
#include <unordered_map>

#include "launcher/base/text.h"
#include "profiles/values.h"

namespace dirbox::profiles {
namespace {

Failure fail_unknown_key(const Place& place, std::string_view section, std::string_view key) {
  for (const Row& row : schema()) {
    if (row.key == key && row.section != section &&
        (row.section.empty() || is_section(row.section))) {
      return place.fail(fmt::format("unknown key {}", in_quotes(key)),
                        row.section.empty() ? std::string("it belongs at the top of the file")
                                            : fmt::format("it belongs in [{}]", row.section));
    }
  }
  auto keys = keys_of(section);
  std::string where = section.empty() ? "the top of a file" : fmt::format("[{}]", section);
  return place.fail(fmt::format("unknown key {}{}", in_quotes(key), did_you_mean(key, keys)),
                    fmt::format("{} has {}", where, fmt::join(keys, ", ")));
}

/// Entries by their texts, which it views. Lists have hundreds of entries: no search through all.
using TextIndex = std::unordered_map<std::string_view, Entry*>;

TextIndex make_index(std::vector<Entry>& list, std::size_t more) {
  TextIndex index;
  index.reserve(list.size() + more);
  for (Entry& entry : list) index.emplace(entry.text, &entry);
  return index;
}

/// An entry of each list with the same text, or two nullptr.
std::pair<const Entry*, const Entry*> find_common(std::vector<Entry>& a, std::vector<Entry>& b) {
  const bool swap = b.size() < a.size();
  std::vector<Entry>& fewer = swap ? b : a;
  if (fewer.empty()) return {};
  const TextIndex index = make_index(fewer, 0);
  for (const Entry& entry : swap ? a : b) {
    if (auto same = index.find(entry.text); same != index.end()) return {&entry, same->second};
  }
  return {};
}

/// Decodes one file into a Layer.
class Decoder {
 public:
  explicit Decoder(const std::string& file) : file_(file) {}

  Result<Layer> run(const NodeTable& root) {
    for (const NodeMember& member : root) {
      const Place key{file_, member.line, member.column};
      if (const Row* row = find_row("", member.key)) {
        TRY_VOID(decode_row(key, *row, member.value));
      } else if (is_section(member.key)) {
        TRY_VOID(decode_section(key, member));
      } else {
        return fail_unknown_key(key, "", member.key);
      }
    }
    TRY_VOID(check_exclusive());
    return std::move(layer_);
  }

 private:
  template <class T>
  Result<void> decode_into(const Place& key, const Row& row, const Node& node, Setting<T>& out) {
    out.value = TRY(decode_scalar<T>(key, row, node));
    out.origin = key.at(node).origin();
    return {};
  }

  Result<void> decode_into(const Place& key, const Row& row, const Node& node,
                           std::vector<Entry>& out) {
    const NodeList& list = *TRY(decode_list(key, row, node));
    std::vector<Entry> entries;
    entries.reserve(list.size());
    for (const Node& item : list) {
      bool removal = false;
      Entry entry = TRY(decode_entry(key, row, item, removal));
      if (removal) {
        layer_.removals.emplace_back(&row, std::move(entry));
      } else {
        entries.push_back(std::move(entry));
      }
    }
    put_entries(out, std::move(entries));
    return {};
  }

  Result<void> decode_into(const Place& key, const Row& row, const Node& node,
                           std::vector<Assignment>& out) {
    const auto* table = std::get_if<NodeTable>(&node.value);
    if (table == nullptr) return fail_type(key, row, "a table", node);
    for (const auto& [name, line, column, value] : *table) {
      const Place here{file_, line, column};
      if (auto wrong = check_env_name(name)) {
        return here.fail(fmt::format("{}: {}", row.full_name(), wrong->detail), wrong->hint);
      }
      std::string text = TRY(decode_text(here, row, value));
      out.push_back({name, std::move(text), here.origin()});
    }
    return {};
  }

  template <class T>
  Result<void> decode_column(const Place& key, const Row& row, const Node& node, T& out) {
    out = TRY(decode_scalar<T>(key, row, node));
    return {};
  }
  Result<void> decode_column(const Place& key, const Row& row, const Node& node,
                             std::vector<std::string>& out) {
    for (const Node& item : *TRY(decode_list(key, row, node))) {
      out.push_back(TRY(decode_text(key, row, item)));
    }
    return {};
  }

  /// A string, or a table of `rule` and `reason`.
  Result<ArgvRule> decode_rule(const Place& place, const Row& row, const Node& node) {
    ArgvRule rule;
    rule.origin = place.at(node).origin();
    if (!std::holds_alternative<NodeTable>(node.value)) {
      rule.text = TRY(decode_text(place, row, node));
      return rule;
    }
    for (const auto& [name, line, column, value] : std::get<NodeTable>(node.value)) {
      const Place here{file_, line, column};
      if (name != "rule" && name != "reason") {
        const std::vector<std::string_view> known{"rule", "reason"};
        return here.fail(fmt::format("{}: unknown key {} of a rule{}", row.full_name(),
                                     in_quotes(name), did_you_mean(name, known)),
                         "a rule has rule and reason");
      }
      (name == "rule" ? rule.text : rule.reason) = TRY(decode_text(here, row, value));
    }
    if (!rule.text.empty()) return rule;
    return place.at(node).fail(fmt::format("{}: a table without rule", row.full_name()),
                               fmt::format("for example {} = {}", row.key, row.example));
  }
  Result<void> decode_column(const Place& key, const Row& row, const Node& node,
                             std::vector<ArgvRule>& out) {
    for (const Node& item : *TRY(decode_list(key, row, node))) {
      out.push_back(TRY(decode_rule(key, row, item)));
    }
    return {};
  }

  template <class Record>
  Result<void> check_record(const Place&, const Record&) {
    return {};
  }
  Result<void> check_record(const Place& place, const Excluded& record) {
    for (const auto& [kind, rules] : {std::pair(broker::RuleKind::allow, &record.allow),
                                      std::pair(broker::RuleKind::deny, &record.deny)}) {
      for (const ArgvRule& rule : *rules) {
        auto parsed = broker::parse_rule(record.command, kind, rule.text, rule.origin);
        if (parsed) continue;
        const Error& error = parsed.error();
        return dirbox::fail("read profile", rule.origin.text(),
                            fmt::format("rule {}: {}", in_quotes(rule.text), error.detail),
                            error.hint);
      }
    }
    const bool ruled = !record.allow.empty() || !record.deny.empty() || !record.env.empty() ||
                       record.max_concurrent != 0 || record.timeout != 0;
    if (record.mode == broker::Mode::inside && ruled) {
      return place.fail(fmt::format("{} is inside, where no rules apply to it", record.command),
                        "leave everything but command and mode out");
    }
    if (record.mode == broker::Mode::grammar && record.command != "tmux") {
      return place.fail(fmt::format("there is no grammar of {}", in_quotes(record.command)),
                        "mode = \"grammar\" is for tmux");
    }
    if (record.mode != broker::Mode::grammar &&
        (!record.sessions.empty() || !record.profile.empty())) {
      return place.fail("sessions and profile are for mode = \"grammar\"", "leave them out");
    }
    for (const Excluded& other : layer_.values.excluded) {
      if (other.command != record.command) continue;
      return place.fail(
          fmt::format("a second record of {}", in_quotes(record.command)),
          fmt::format("the other one is at line {}; put both together", other.origin.line));
    }
    return {};
  }

  template <class Record>
  Result<Record> decode_record(const Place& place, const std::string& section,
                               const NodeTable& table) {
    Record record;
    record.origin = place.origin();
    for (const NodeMember& member : table) {
      const Place key{file_, member.line, member.column};
      const Row* row = find_row(section, member.key);
      if (row == nullptr) return fail_unknown_key(key, section, member.key);
      TRY_VOID(std::visit(
          [&](auto target) -> Result<void> {
            if constexpr (std::is_invocable_v<decltype(target), Record&>) {
              return decode_column(key, *row, member.value, record.*target);
            } else {
              return key.fail("a key of another kind of record");
            }
          },
          row->target));
    }
    for (const Row& row : schema()) {
      if (row.section != section || !row.required) continue;
      bool present = std::any_of(table.begin(), table.end(),
                                 [&](const NodeMember& m) { return m.key == row.key; });
      if (!present) {
        return place.fail(fmt::format("[[{}]] without {}", section, row.key),
                          fmt::format("for example {} = {}", row.key, row.example));
      }
    }
    TRY_VOID(check_record(place, record));
    return record;
  }

  template <class Record>
  Result<void> decode_into(const Place& key, const Row& row, const Node& node,
                           std::vector<Record>& out) {
    for (const Node& item : *TRY(decode_list(key, row, node))) {
      const auto* table = std::get_if<NodeTable>(&item.value);
      if (table == nullptr) return fail_type(key, row, "tables", item);
      out.push_back(TRY(decode_record<Record>(key.at(item), row.full_name(), *table)));
    }
    return {};
  }

  Result<void> decode_extends(const Place& key, const Row& row, const Node& node) {
    auto add = [&](const Node& item) -> Result<void> {
      Entry entry;
      entry.text = TRY(decode_text(key, row, item));
      entry.origin = key.at(item).origin();
      layer_.extends.push_back(std::move(entry));
      return {};
    };
    if (std::holds_alternative<std::string>(node.value)) return add(node);
    for (const Node& item : *TRY(decode_list(key, row, node))) TRY_VOID(add(item));
    return {};
  }

  Result<void> decode_section(const Place& place, const NodeMember& section) {
    const auto* table = std::get_if<NodeTable>(&section.value.value);
    if (table == nullptr) {
      return place.fail(fmt::format("{} is a table, not {}", section.key, type_name(section.value)),
                        fmt::format("write [{}] on a line of its own", section.key));
    }
    for (const NodeMember& member : *table) {
      const Place key{file_, member.line, member.column};
      const Row* row = find_row(section.key, member.key);
      if (row == nullptr) return fail_unknown_key(key, section.key, member.key);
      TRY_VOID(decode_row(key, *row, member.value));
    }
    return {};
  }

  Result<void> decode_row(const Place& key, const Row& row, const Node& node) {
    return std::visit(
        [&](auto target) -> Result<void> {
          if constexpr (std::is_same_v<decltype(target), std::monostate>) {
            return decode_extends(key, row, node);
          } else if constexpr (std::is_invocable_v<decltype(target), Profile&>) {
            return decode_into(key, row, node, layer_.values.*target);
          } else {
            return key.fail("a column of a record outside of one");
          }
        },
        row.target);
  }

  std::vector<Entry>& entries(std::string_view section, std::string_view key) {
    return layer_.values.*std::get<std::vector<Entry> Profile::*>(find_row(section, key)->target);
  }

  Result<void> check_exclusive() {
    for (const Exclusive& pair : exclusive_lists()) {
      auto both =
          find_common(entries(pair.section, pair.first), entries(pair.section, pair.second));
      if (!both.first) continue;
      auto position = [](const Entry* e) { return std::pair(e->origin.line, e->origin.column); };
      if (position(both.first) > position(both.second)) std::swap(both.first, both.second);
      return dirbox::fail(
          "read profile", both.second->origin.text(),
          fmt::format("{} is in both {}.{} and {}.{}", in_quotes(both.first->text), pair.section,
                      pair.first, pair.section, pair.second),
          fmt::format("the other one is at line {}; keep one of them", both.first->origin.line));
    }
    for (const auto& [row, removal] : layer_.removals) {
      for (const Entry& added : entries(row->section, row->key)) {
        if (added.text != removal.text) continue;
        return dirbox::fail(
            "read profile", removal.origin.text(),
            fmt::format("{} adds and removes {}", row->full_name(), in_quotes(added.text)),
            "keep one of the two");
      }
    }
    return {};
  }

  const std::string& file_;
  Layer layer_;
};

}  // namespace

void put_entries(std::vector<Entry>& list, std::vector<Entry>&& from) {
  if (from.empty()) return;
  list.reserve(list.size() + from.size());  // nothing moves: the index points into the elements
  TextIndex index = make_index(list, from.size());
  for (Entry& entry : from) {
    auto same = index.find(entry.text);
    if (same == index.end()) {
      list.push_back(std::move(entry));
      index.emplace(list.back().text, &list.back());
    } else {
      Entry& old = *same->second;
      entry.text = std::move(old.text);  // the index views this very buffer
      old = std::move(entry);
    }
  }
}

Result<Layer> decode_layer(const NodeTable& root, const std::string& file) {
  return Decoder(file).run(root);
}

}  // namespace dirbox::profiles
