#include "profiles/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "launcher/base/text.h"
#include "profiles/schema.h"

namespace dirbox::profiles {
namespace {

/// One value of a key as text, with where it comes from.
struct Shown {
  std::string text;
  Origin origin;
};

std::string show_value(const Row&, const std::string& value) { return value; }
std::string show_value(const Row& row, bool value) {
  if (!row.choices.empty()) return std::string(choices_of(row)[value ? 1 : 0]);
  return value ? "true" : "false";
}
std::string show_value(const Row& row, std::uint64_t value) {
  return row.kind == Kind::size ? format_size(value) : std::to_string(value);
}
template <class Enum>
std::string show_value(const Row& row, Enum value) requires std::is_enum_v<Enum> {
  return std::string(choices_of(row)[static_cast<std::size_t>(value)]);
}

template <class T>
void collect(const Row& row, const Setting<T>& setting, std::vector<Shown>& out) {
  if constexpr (requires { setting.value.has_value(); }) {
    if (setting.value) out.push_back({show_value(row, *setting.value), setting.origin});
  } else {
    std::string text = show_value(row, setting.value);
    if (!text.empty()) out.push_back({escape_for_terminal(text), setting.origin});
  }
}
void collect(const Row& row, const std::vector<Entry>& entries, std::vector<Shown>& out) {
  for (const Entry& entry : entries) {
    const bool marked = entry.optional && (row.marks & kAlwaysOptional) == 0;
    std::string text = (marked ? "?" : "") + escape_for_terminal(entry.text);
    if (entry.create) text += " (create)";
    if (entry.dangerous) text += " (dangerous)";
    out.push_back({std::move(text), entry.origin});
  }
}
void collect(const Row&, const std::vector<Assignment>& assignments, std::vector<Shown>& out) {
  for (const Assignment& a : assignments) {
    out.push_back({escape_for_terminal(a.name + "=" + a.value), a.origin});
  }
}
void collect(const Row&, const std::vector<SyscallRule>& rules, std::vector<Shown>& out) {
  for (const SyscallRule& rule : rules) {
    std::string tests = fmt::format("{}", fmt::join(rule.when, ", "));
    std::string text =
        fmt::format("{}{}{}: {}", rule.syscall, tests.empty() ? "" : " when ", tests, rule.action);
    out.push_back({escape_for_terminal(text), rule.origin});
  }
}
void collect(const Row&, const std::vector<NameLimit>& limits, std::vector<Shown>& out) {
  for (const NameLimit& limit : limits) {
    const std::pair<const char*, std::uint64_t> values[] = {
        {"upload", limit.max_upload}, {"download", limit.max_download}, {"rate", limit.rate}};
    std::string text;
    for (const auto& [what, value] : values) {
      // 0 is no limit.
      if (value != 0)
        text += fmt::format("{} {} {}", text.empty() ? ":" : ",", what, format_size(value));
    }
    out.push_back({escape_for_terminal(limit.name) + text, limit.origin});
  }
}
std::string mode_name(broker::Mode mode) { return show_value(*find_row("excluded", "mode"), mode); }
void collect(const Row&, const std::vector<Excluded>& records, std::vector<Shown>& out) {
  for (const Excluded& record : records) {
    const std::string command = escape_for_terminal(record.command);
    out.push_back({fmt::format("{}: {}", command, mode_name(record.mode)), record.origin});
    for (const auto& [kind, rules] :
         {std::pair("allow", &record.allow), std::pair("deny", &record.deny)}) {
      for (const ArgvRule& rule : *rules) {
        out.push_back(
            {fmt::format("{}: {} {}", command, kind, escape_for_terminal(rule.text)), rule.origin});
      }
    }
    auto add = [&](std::string_view key, const std::string& value) {
      if (!value.empty())
        out.push_back(
            {fmt::format("{}: {} {}", command, key, escape_for_terminal(value)), record.origin});
    };
    auto number = [](std::uint64_t n) { return n == 0 ? std::string() : std::to_string(n); };
    add("env", fmt::format("{}", fmt::join(record.env, ", ")));
    add("sessions", fmt::format("{}", fmt::join(record.sessions, ", ")));
    add("profile", record.profile);
    add("max_concurrent", number(record.max_concurrent));
    add("timeout", number(record.timeout));
  }
}
void collect(const Row&, const std::vector<VerifyCheck>& checks, std::vector<Shown>& out) {
  for (const VerifyCheck& check : checks) {
    std::string text = fmt::format("{}: {}", check.blocked ? "blocked" : "ok", check.run);
    out.push_back({escape_for_terminal(text), check.origin});
  }
}

std::vector<Shown> values_of(const Profile& profile, const Row& row) {
  std::vector<Shown> out;
  std::visit(
      [&](auto target) {
        if constexpr (std::is_invocable_v<decltype(target), const Profile&>) {
          collect(row, profile.*target, out);
        }
      },
      row.target);
  return out;
}

std::string origin_text(const Origin& origin) {
  return origin.file.empty() ? "default" : origin.text();
}

template <class T>
Json json_of(const Row& row, const Setting<T>& setting) {
  Json value;
  if constexpr (requires { setting.value.has_value(); }) {
    if (setting.value) value = *setting.value;
  } else if constexpr (std::is_same_v<T, std::uint64_t> || std::is_same_v<T, std::string>) {
    value = setting.value;
  } else if constexpr (std::is_same_v<T, bool>) {
    value = row.choices.empty() ? Json(setting.value) : Json(show_value(row, setting.value));
  } else {
    value = show_value(row, setting.value);
  }
  return JsonObject{{"value", std::move(value)}, {"origin", origin_text(setting.origin)}};
}
Json json_of(const Row& row, const Entry& entry) {
  JsonObject out{{row.kind == Kind::paths ? "path" : "name", entry.text}};
  if ((row.marks & (kOptional | kAlwaysOptional)) != 0)
    out.emplace_back("optional", entry.optional);
  if ((row.marks & kCreate) != 0) out.emplace_back("create", entry.create);
  if ((row.marks & kDangerous) != 0) out.emplace_back("dangerous", entry.dangerous);
  out.emplace_back("origin", origin_text(entry.origin));
  return out;
}
Json json_of(const Row&, const Assignment& a) {
  return JsonObject{{"name", a.name}, {"value", a.value}, {"origin", origin_text(a.origin)}};
}
Json json_of(const Row&, const SyscallRule& rule) {
  JsonArray when(rule.when.begin(), rule.when.end());
  return JsonObject{{"syscall", rule.syscall},
                    {"when", std::move(when)},
                    {"action", rule.action},
                    {"origin", origin_text(rule.origin)}};
}
Json json_of(const Row&, const NameLimit& limit) {
  return JsonObject{{"name", limit.name},
                    {"max_upload", limit.max_upload},
                    {"max_download", limit.max_download},
                    {"rate", limit.rate},
                    {"origin", origin_text(limit.origin)}};
}
Json json_of(const std::vector<ArgvRule>& rules) {
  JsonArray out;
  for (const ArgvRule& rule : rules) {
    JsonObject item{{"rule", rule.text}};
    if (!rule.reason.empty()) item.emplace_back("reason", rule.reason);
    item.emplace_back("origin", origin_text(rule.origin));
    out.emplace_back(std::move(item));
  }
  return out;
}
Json json_of(const Row&, const Excluded& record) {
  return JsonObject{{"command", record.command},
                    {"mode", mode_name(record.mode)},
                    {"allow", json_of(record.allow)},
                    {"deny", json_of(record.deny)},
                    {"env", JsonArray(record.env.begin(), record.env.end())},
                    {"max_concurrent", record.max_concurrent},
                    {"timeout", record.timeout},
                    {"sessions", JsonArray(record.sessions.begin(), record.sessions.end())},
                    {"profile", record.profile},
                    {"origin", origin_text(record.origin)}};
}
Json json_of(const Row&, const VerifyCheck& check) {
  return JsonObject{{"run", check.run},
                    {"expect", check.blocked ? "blocked" : "ok"},
                    {"why", check.why},
                    {"origin", origin_text(check.origin)}};
}
template <class T>
Json json_of(const Row& row, const std::vector<T>& list) {
  JsonArray out;
  for (const T& item : list) out.push_back(json_of(row, item));
  return out;
}

}  // namespace

std::string show_profile(const Profile& profile) {
  Table table;
  for (const Row& row : schema()) {
    std::string key = row.full_name();
    for (Shown& shown : values_of(profile, row)) {
      table.add({std::exchange(key, ""), std::move(shown.text), origin_text(shown.origin)});
    }
  }
  return fmt::format("{}: {}\n", escape_for_terminal(profile.name),
                     fmt::join(profile.chain, ", ")) +
         table.render();
}

std::vector<Value> list_values(const Profile& profile, std::string_view section) {
  std::vector<Value> out;
  for (const Row& row : schema()) {
    if (row.section != section) continue;
    for (Shown& shown : values_of(profile, row)) {
      if (shown.origin.file.empty()) continue;
      out.push_back({std::string(row.key), std::move(shown.text), std::move(shown.origin)});
    }
  }
  return out;
}

Json to_json(const Profile& profile) {
  Json out = JsonObject{{"name", profile.name},
                        {"chain", JsonArray(profile.chain.begin(), profile.chain.end())}};
  for (const Row& row : schema()) {
    std::visit(
        [&](auto target) {
          if constexpr (std::is_invocable_v<decltype(target), const Profile&>) {
            Json value = json_of(row, profile.*target);
            if (row.section.empty()) return out.set(row.key, std::move(value));
            const Json* section = out.find(row.section);
            Json merged = section != nullptr ? *section : Json(JsonObject{});
            merged.set(row.key, std::move(value));
            out.set(row.section, std::move(merged));
          }
        },
        row.target);
  }
  return out;
}

std::vector<Difference> diff_profiles(const Profile& left, const Profile& right) {
  std::vector<Difference> out;
  auto note_missing = [&](const Row& row, const std::vector<Shown>& from,
                          const std::vector<Shown>& in, bool added) {
    for (const Shown& shown : from) {
      bool same = std::any_of(in.begin(), in.end(),
                              [&](const Shown& other) { return other.text == shown.text; });
      if (!same) out.push_back({row.full_name(), shown.text, shown.origin, added});
    }
  };
  for (const Row& row : schema()) {
    std::vector<Shown> before = values_of(left, row);
    std::vector<Shown> after = values_of(right, row);
    note_missing(row, before, after, false);
    note_missing(row, after, before, true);
  }
  return out;
}

std::string render_diff(const std::vector<Difference>& differences) {
  Table table;
  for (const Difference& d : differences) {
    table.add({d.added ? "+" : "-", d.key, d.value, origin_text(d.origin)});
  }
  return table.render();
}

std::string render_list(const std::vector<Listed>& profiles) {
  Table table;
  for (const Listed& listed : profiles) {
    std::string where = escape_for_terminal(listed.where) + (listed.shadows ? " (shadows)" : "");
    table.add({listed.name, std::move(where),
               listed.error.empty() ? escape_for_terminal(listed.description)
                                    : "cannot be used: " + listed.error});
  }
  return table.render();
}

Json list_to_json(const std::vector<Listed>& profiles) {
  JsonArray out;
  for (const Listed& listed : profiles) {
    out.push_back(JsonObject{{"name", listed.name},
                             {"where", listed.where},
                             {"shadows", listed.shadows},
                             {"description", listed.description},
                             {"error", listed.error.empty() ? Json() : Json(listed.error)}});
  }
  return out;
}

std::string new_profile_text(std::string_view extends) {
  std::string out = fmt::format(
      "# A dirbox profile; see dirbox-profile(5). `dirbox profile check` reads it, `dirbox profile "
      "show`\n"
      "# prints what it amounts to. Lists add to those of the profiles in extends; \"-x\" removes "
      "x.\n\n"
      "description = \"my profile\"\n"
      "extends = [\"{}\"]\n",
      extends);
  std::string_view section;
  for (const Row& row : schema()) {
    if (!is_section(row.section)) {
      continue;
    }
    if (row.section != section) out += fmt::format("\n[{}]\n", row.section);
    section = row.section;
    out += fmt::format("# {}\n#{} = {}\n", row.doc, row.key, row.example);
  }
  return out;
}

}  // namespace dirbox::profiles
