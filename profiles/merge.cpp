#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "profiles/decode.h"

namespace dirbox::profiles {
namespace {

template <class T>
void merge_value(Setting<T>& into, Setting<T>&& from) {
  if (!from.origin.file.empty()) into = std::move(from);
}
void merge_value(std::vector<Entry>& into, std::vector<Entry>&& from) {
  if (into.empty()) {
    into = std::move(from);  // put_entries has already made its texts unique
  } else if (!from.empty()) {
    put_entries(into, std::move(from));
  }
}
void merge_value(std::vector<Assignment>& into, std::vector<Assignment>&& from) {
  for (Assignment& assignment : from) {
    auto same = std::find_if(into.begin(), into.end(),
                             [&](const Assignment& a) { return a.name == assignment.name; });
    if (same != into.end()) {
      *same = std::move(assignment);
    } else {
      into.push_back(std::move(assignment));
    }
  }
}
void merge_value(std::vector<Excluded>& into, std::vector<Excluded>&& from) {
  for (Excluded& record : from) {
    auto same = std::find_if(into.begin(), into.end(),
                             [&](const Excluded& e) { return e.command == record.command; });
    if (same != into.end()) {
      *same = std::move(record);
    } else {
      into.push_back(std::move(record));
    }
  }
}
template <class Record>
void merge_value(std::vector<Record>& into, std::vector<Record>&& from) {
  std::move(from.begin(), from.end(), std::back_inserter(into));
}

Result<void> remove_entry(Profile& profile, const Removal& wanted, std::vector<Removal>* idle) {
  const Row& row = *wanted.first;
  const Entry& removal = wanted.second;
  auto& list = profile.*std::get<std::vector<Entry> Profile::*>(row.target);
  auto same = std::find_if(list.begin(), list.end(),
                           [&](const Entry& e) { return e.text == removal.text; });
  if (same != list.end()) {
    list.erase(same);
    return {};
  }
  if (idle != nullptr) {
    idle->push_back(wanted);
    return {};
  }
  std::vector<std::string_view> texts;
  texts.reserve(list.size());
  for (const Entry& entry : list) texts.push_back(entry.text);
  return fail("read profile", removal.origin.text(),
              fmt::format("{} has no inherited \"{}\" to remove{}", row.full_name(),
                          escape_for_terminal(removal.text), did_you_mean(removal.text, texts)),
              "an entry is removed by its text in the profile that is extended");
}

Result<void> override_paths(std::vector<Entry>& list, const std::vector<std::string>& texts,
                            const std::string& cwd, const char* flag) {
  std::vector<Entry> entries;
  for (const std::string& text : texts) {
    if (text.empty() || text.find('\0') != text.npos) {
      return fail(flag, escape_for_terminal(text), "empty path");
    }
    const bool home = text == "~" || text.substr(0, 2) == "~/";
    Entry entry;
    entry.text = home ? canonical_path(text) : canonical_path(path_join(cwd, text));
    entry.origin.file = flag;
    entries.push_back(std::move(entry));
  }
  put_entries(list, std::move(entries));
  return {};
}

Result<void> override_rules(std::vector<Entry>& list, const std::vector<std::string>& texts,
                            const char* flag, Check check) {
  std::vector<Entry> entries;
  for (const std::string& text : texts) {
    if (auto wrong = check(text)) {
      return fail(flag, escape_for_terminal(text), wrong->detail, wrong->hint);
    }
    Entry entry;
    entry.text = text;
    entry.origin.file = flag;
    entries.push_back(std::move(entry));
  }
  put_entries(list, std::move(entries));
  return {};
}

/// A network flag on a profile whose network no rule opens would do nothing.
Result<void> check_network_mode(const Profile& profile, const Overrides& overrides) {
  if (profile.network_mode.value == NetworkMode::proxy) return {};
  struct Flag {
    const char* name;
    const std::vector<std::string>& texts;
  };
  const Flag flags[] = {{"--allow", overrides.allow},
                        {"--publish", overrides.publish},
                        {"--host-port", overrides.host_ports}};
  for (const Flag& flag : flags) {
    if (flag.texts.empty()) continue;
    std::string origin = profile.network_mode.origin.text();
    return fail(flag.name, escape_for_terminal(flag.texts.front()),
                fmt::format("the profile's network is \"{}\"{}",
                            profile.network_mode.value == NetworkMode::host ? "host" : "none",
                            origin.empty() ? "" : " (" + origin + ")"),
                "choose a profile with [network] mode = \"proxy\", such as director");
  }
  return {};
}

Result<void> override_excluded(Profile& profile, const std::vector<std::string>& texts) {
  constexpr const char* kFlag = "--exclude";
  std::vector<Excluded> records;
  for (const std::string& text : texts) {
    if (auto wrong = check_command(text)) {
      return fail(kFlag, escape_for_terminal(text), wrong->detail, wrong->hint);
    }
    Excluded record;
    record.command = text;
    record.origin.file = kFlag;
    records.push_back(std::move(record));
  }
  merge_value(profile.excluded, std::move(records));
  return {};
}

Result<void> override_env(Profile& profile, const std::vector<std::string>& texts) {
  constexpr const char* kFlag = "--env";
  std::vector<Entry> pass;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    auto wrong = equals == text.npos ? check_env_pattern(text)
                                     : check_env_name(std::string_view(text).substr(0, equals));
    if (wrong) return fail(kFlag, escape_for_terminal(text), wrong->detail, wrong->hint);
    if (equals == text.npos) {
      Entry entry;
      entry.text = text;
      entry.optional = true;
      entry.origin.file = kFlag;
      pass.push_back(std::move(entry));
      continue;
    }
    std::vector<Assignment> one{
        {text.substr(0, equals), text.substr(equals + 1), {kFlag, 0, 0}, true}};
    merge_value(profile.env_set, std::move(one));
  }
  put_entries(profile.env_pass, std::move(pass));
  return {};
}

}  // namespace

Result<void> merge_layer(Profile& into, Layer&& layer, std::vector<Removal>* idle) {
  for (const Removal& removal : layer.removals) TRY_VOID(remove_entry(into, removal, idle));
  for (const Row& row : schema()) {
    std::visit(
        [&](auto target) {
          if constexpr (std::is_invocable_v<decltype(target), Profile&>) {
            merge_value(into.*target, std::move(layer.values.*target));
          }
        },
        row.target);
  }
  return {};
}

Result<void> apply_overrides(Profile& profile, const Overrides& overrides) {
  TRY_VOID(override_paths(profile.read, overrides.read, overrides.cwd, "--read"));
  TRY_VOID(override_paths(profile.write, overrides.write, overrides.cwd, "--write"));
  TRY_VOID(override_paths(profile.hide, overrides.hide, overrides.cwd, "--hide"));
  TRY_VOID(override_paths(profile.sockets, overrides.sockets, overrides.cwd, "--socket"));
  TRY_VOID(override_paths(profile.devices, overrides.devices, overrides.cwd, "--device"));
  TRY_VOID(check_network_mode(profile, overrides));
  TRY_VOID(override_rules(profile.net_allow, overrides.allow, "--allow", check_allow_rule));
  TRY_VOID(override_rules(profile.net_deny, overrides.deny, "--deny", check_network_rule));
  TRY_VOID(override_rules(profile.publish, overrides.publish, "--publish", check_publish));
  TRY_VOID(
      override_rules(profile.host_ports, overrides.host_ports, "--host-port", check_port_forward));
  TRY_VOID(override_excluded(profile, overrides.exclude));
  return override_env(profile, overrides.env);
}

}  // namespace dirbox::profiles
