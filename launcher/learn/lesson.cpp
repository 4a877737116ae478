#include "launcher/learn/lesson.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "launcher/base/json.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "profiles/text_rules.h"

namespace dirbox::learn {
namespace {

using log::Operation;

/// What an event's own cure would add to a profile: `filesystem.write = ["/x"]`.
struct Cure {
  std::string key, value;
};

std::optional<Cure> parse_cure(const std::string& toml) {
  constexpr std::string_view kBetween = " = [";
  const std::size_t at = toml.find(kBetween);
  if (at == toml.npos || !toml.ends_with("]")) return std::nullopt;
  auto list = Json::parse("[" + toml.substr(at + kBetween.size()));
  if (!list || list->as_array() == nullptr || list->as_array()->size() != 1) return std::nullopt;
  const std::string* value = list->as_array()->front().as_string();
  if (value == nullptr) return std::nullopt;
  return Cure{toml.substr(0, at), *value};
}

/// State of the machine, which programs look at and do without.
bool is_curiosity(const std::string& path) {
  for (std::string_view place :
       {"/proc", "/sys", "/dev", "/run", "/var/run", "/etc/machine-id", "/var/lib/dbus", "/tmp"}) {
    if (path_is_beneath(path, place)) return true;
  }
  return false;
}

/// Text that a profile and a terminal can hold; backslashes aside, which both can.
bool is_plain(std::string_view text) {
  return text.find('\\') == text.npos && escape_for_terminal(text) == text;
}

class Teacher {
 public:
  explicit Teacher(const Setting& setting) : setting_(setting) {}

  void hear(const log::Event& event) {
    if (event.kind != log::Kind::denied || event.subject.empty()) return;
    if (event.layer == log::Layer::broker) return hear_command(event);
    if (event.cause == "hidden") return refuse(event, true);
    if (!event.never.empty()) {
      // What the user cannot do himself is no matter of a profile.
      if (event.error != EACCES && event.never.find("outside either") == event.never.npos)
        refuse(event, false);
      return;
    }
    if (event.operation == Operation::syscall) return hear_call(event);
    const auto cure = parse_cure(event.toml);
    if (!cure) return refuse(event, false);
    if (cure->key == "network.allow") {
      hosts_.push_back({cure->value, reason_of(event)});
    } else if (cure->key == "filesystem.read") {
      hear_path(event, *cure, List::read);
    } else if (cure->key == "filesystem.write") {
      hear_path(event, *cure, List::write);
    } else if (cure->key == "filesystem.sockets") {
      add_doubtful(List::sockets, cure->value, reason_of(event));
    } else {
      refuse(event, false);
    }
  }

  Lesson finish() {
    std::vector<std::string> written;
    for (const PathNeed& need : writes_) written.push_back(need.path);
    append(generalise_paths(writes_, List::write, setting_));
    append(generalise_paths(reads_, List::read, setting_, written));
    append(generalise_hosts(hosts_));
    auto key = [](const Grant& grant) { return std::tuple(grant.list, !grant.active, grant.text); };
    std::sort(lesson_.grants.begin(), lesson_.grants.end(),
              [&](const Grant& a, const Grant& b) { return key(a) < key(b); });
    auto same = std::unique(
        lesson_.grants.begin(), lesson_.grants.end(),
        [](const Grant& a, const Grant& b) { return a.list == b.list && a.text == b.text; });
    lesson_.grants.erase(same, lesson_.grants.end());
    return std::move(lesson_);
  }

 private:
  std::string shorten(const std::string& path) const {
    if (setting_.home.size() > 1 && path_is_beneath(path, setting_.home))
      return path_join("~", path_relative(path, setting_.home));
    return path;
  }

  /// "create z (touch)".
  static std::string reason_of(const log::Event& event) {
    std::string text(log::operation_name(event.operation));
    if (event.subject.front() == '/') text += " " + std::string(path_name(event.subject));
    if (!event.comm.empty()) text += fmt::format(" ({})", event.comm);
    return escape_for_terminal(text);
  }

  void refuse(const log::Event& event, bool secret) {
    Refusal refusal;
    refusal.what = escape_for_terminal(
        fmt::format("{} {}", log::operation_name(event.operation), shorten(event.subject)));
    refusal.why = escape_for_terminal(!event.never.empty() && !secret ? event.never : event.detail);
    if (!event.origin.empty())
      refusal.why += fmt::format(" ({})", escape_for_terminal(event.origin));
    refusal.secret = secret;
    refusal.toml = escape_for_terminal(event.toml);
    if (told_.insert(refusal.what).second) lesson_.refusals.push_back(std::move(refusal));
  }

  /// An excluded command would run on the host: which arguments it may have is the reader's choice.
  void hear_command(const log::Event& event) {
    const std::size_t space = event.subject.find(' ');
    log::Event suggestion = event;
    if (space != event.subject.npos && event.subject.find('\'') == event.subject.npos) {
      suggestion.toml = fmt::format("[[excluded]] command = {}, allow = [{}]",
                                    Json(event.subject.substr(0, space)).dump(),
                                    Json(event.subject.substr(space + 1)).dump());
    }
    refuse(suggestion, false);
  }

  void hear_call(const log::Event& event) {
    const std::string name = event.subject.substr(0, event.subject.find('('));
    const auto cure = parse_cure(event.toml);
    if (!cure || cure->key != "seccomp.allow" || profiles::check_syscall(name))
      return refuse(event, false);
    Grant grant;
    grant.list = List::syscalls;
    grant.text = name;
    grant.why = escape_for_terminal(event.detail);
    // A program that succeeds without it does not need it.
    grant.active = setting_.failed;
    lesson_.grants.push_back(std::move(grant));
  }

  void hear_path(const log::Event& event, const Cure& cure, List list) {
    if (cure.value.empty() || cure.value.front() != '/' || !is_plain(cure.value) ||
        profiles::check_path(cure.value)) {
      return refuse(event, false);
    }
    const std::string path = path_normalize(cure.value);
    if (looks_secret(path) || (list == List::read && looks_secret(event.subject)))
      return add_doubtful(list, path, reason_of(event) + ": it may be a secret, by its name");
    if (list == List::write && runs_later(path, setting_)) {
      return add_doubtful(list, path, reason_of(event) + ": the host executes what lies there");
    }
    if (is_curiosity(path))
      return add_doubtful(list, path, reason_of(event) + ": programs mostly do without");
    (list == List::write ? writes_ : reads_).push_back({path, reason_of(event)});
  }

  void add_doubtful(List list, const std::string& text, std::string why) {
    if (!is_plain(text)) return;
    Grant grant;
    grant.list = list;
    grant.text = text;
    grant.why = std::move(why);
    grant.active = false;
    lesson_.grants.push_back(std::move(grant));
  }

  void append(std::vector<Grant> grants) {
    std::move(grants.begin(), grants.end(), std::back_inserter(lesson_.grants));
  }

  const Setting& setting_;
  std::vector<PathNeed> reads_, writes_;
  std::vector<HostNeed> hosts_;
  std::set<std::string> told_;
  Lesson lesson_;
};

struct Section {
  std::string_view table, key;
  List list;
};
constexpr Section kSections[] = {{"filesystem", "read", List::read},
                                 {"filesystem", "write", List::write},
                                 {"filesystem", "sockets", List::sockets},
                                 {"network", "allow", List::allow},
                                 {"seccomp", "allow", List::syscalls}};
static_assert(std::size(kSections) == kLists);

/// A TOML basic string (toml.io, v1.0.0); JSON's escapes are a part of its own, DEL aside.
std::string quote(std::string_view text) { return Json(text).dump(); }

/// A list without an active entry is a comment as a whole: a profile has no empty lists.
std::string render_list(const Lesson& lesson, const Section& section) {
  std::string out;
  bool any_active = false;
  for (const Grant& grant : lesson.grants) any_active |= grant.list == section.list && grant.active;
  const std::string_view off = any_active ? "" : "# ";
  for (const Grant& grant : lesson.grants) {
    if (grant.list != section.list) continue;
    out +=
        fmt::format("{}  {}{},", off, any_active && !grant.active ? "# " : "", quote(grant.text));
    if (!grant.why.empty()) out += "  # " + grant.why;
    out += "\n";
  }
  return out.empty() ? out : fmt::format("{}{} = [\n{}{}]\n", off, section.key, out, off);
}

std::string render_refusals(const Lesson& lesson, bool secret, std::string_view title) {
  std::string out;
  for (const Refusal& refusal : lesson.refusals) {
    if (refusal.secret != secret) continue;
    out += fmt::format("#   {}: {}\n", refusal.what, refusal.why);
    if (!secret && !refusal.toml.empty())
      out += fmt::format("#     a profile allows it with {}\n", refusal.toml);
  }
  return out.empty() ? out : fmt::format("\n# {}\n{}", title, out);
}

}  // namespace

Lesson generalise(const std::vector<log::Event>& events, const Setting& setting) {
  Teacher teacher(setting);
  for (const log::Event& event : events) teacher.hear(event);
  return teacher.finish();
}

namespace {

/// "learnt from: npm install", on one line and not too long for a list of profiles.
std::string describe(const Header& header) {
  constexpr std::size_t kMost = 60;
  std::string text;
  for (char c : header.command.substr(0, kMost)) text += c >= ' ' && c < 0x7f ? c : '?';
  return "learnt from: " + text + (header.command.size() > kMost ? "…" : "");
}

}  // namespace

std::string render_lesson(const Lesson& lesson, const Header& header) {
  const std::string command = escape_for_terminal(header.command);
  std::string out = fmt::format(
      "# Learnt by dirbox learn from: {}\n"
      "# Each entry was asked for under \"{}\" and refused. Read before use what you let in;\n"
      "# a line that is commented out was asked for as well, and is for you to decide.\n\n"
      "description = {}\n"
      "extends = {}\n",
      command, escape_for_terminal(header.base), quote(describe(header)), quote(header.base));
  std::string_view table;
  for (const Section& section : kSections) {
    const std::string list = render_list(lesson, section);
    if (list.empty()) continue;
    if (table != section.table) out += fmt::format("\n[{}]\n", section.table);
    table = section.table;
    out += list;
  }
  out += render_refusals(lesson, true, "Secrets that it asked for; they stay hidden:");
  out += render_refusals(lesson, false, "Refused, and no list allows it:");
  return out;
}

}  // namespace dirbox::learn
