#include "launcher/log/event.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iterator>

#include "launcher/base/text.h"

namespace dirbox::log {
namespace {

constexpr std::string_view kKinds[] = {"start", "denied", "failed", "limit", "fault",
                                       "run",   "rules",  "guard",  "exit"};
constexpr std::string_view kOperations[] = {"none",   "read",    "write", "create",  "rename",
                                            "remove", "change",  "exec",  "connect", "resolve",
                                            "listen", "syscall", "env",   "docker",  "tmux"};
constexpr std::string_view kLayers[] = {"none",  "namespace", "mount",  "landlock", "seccomp",
                                        "netns", "proxy",     "broker", "guard",    "limits"};
static_assert(std::size(kKinds) == static_cast<std::size_t>(Kind::exit) + 1);
static_assert(std::size(kOperations) == static_cast<std::size_t>(Operation::tmux) + 1);
static_assert(std::size(kLayers) == static_cast<std::size_t>(Layer::limits) + 1);

constexpr std::int64_t kSecond = 1'000'000'000;

const Field kFields[] = {
    {"time", &Event::time_ns, "when, RFC 3339 in UTC"},
    {"session", &Event::session, "the session's id"},
    {"seq", &Event::sequence, "counts the session's events; a gap: lines were dropped"},
    {"kind", &Event::kind, "what sort of event"},
    {"operation", &Event::operation, "what was attempted"},
    {"subject", &Event::subject, "on what: path, host:port, call with arguments, argv"},
    {"pid", &Event::pid, "the process, as the host numbers it"},
    {"comm", &Event::comm, "its name"},
    {"exe", &Event::exe, "its program"},
    {"layer", &Event::layer, "what enforced the refusal"},
    {"rule", &Event::rule, "the entry that decided, as written"},
    {"origin", &Event::origin, "file:line:column of the entry"},
    {"cause", &Event::cause, "a stable word for the reason"},
    {"detail", &Event::detail, "a sentence"},
    {"errno", &Event::error, "the error that the caller got"},
    {"cure", &Event::cure, "options of dirbox run that would allow it"},
    {"toml", &Event::toml, "the same as a line of a profile"},
    {"never", &Event::never, "why nothing would allow it"},
    {"count", &Event::count, "how often so far"},
    {"status", &Event::status, "exit status"},
};

/// Of a word table, by name.
template <class Enum, std::size_t N>
std::optional<Enum> find_word(const std::string_view (&words)[N], std::string_view word) {
  const auto* found = std::find(std::begin(words), std::end(words), word);
  if (found == std::end(words)) return std::nullopt;
  return static_cast<Enum>(found - std::begin(words));
}

struct ToJson {
  const Event& event;
  const Field& field;
  Json& out;

  void operator()(std::string Event::*member) const {
    if (const std::string& text = event.*member; !text.empty()) out.set(field.name, text);
  }
  void operator()(std::int64_t Event::*member) const {
    const std::int64_t value = event.*member;
    if (member == &Event::time_ns) {
      out.set(field.name, time_text(value));
    } else if (value != (member == &Event::count ? 1 : 0)) {
      out.set(field.name, value);
    }
  }
  void operator()(Kind Event::*member) const { out.set(field.name, kind_name(event.*member)); }
  void operator()(Operation Event::*member) const {
    if (event.*member != Operation::none) out.set(field.name, operation_name(event.*member));
  }
  void operator()(Layer Event::*member) const {
    if (event.*member != Layer::none) out.set(field.name, layer_name(event.*member));
  }
};

/// True when `value` is of the member's type and, for a word, known.
struct FromJson {
  Event& event;
  const Json& value;

  template <class Enum, std::size_t N>
  bool word(Enum Event::*member, const std::string_view (&words)[N]) const {
    if (value.as_string() == nullptr) return false;
    auto found = find_word<Enum>(words, *value.as_string());
    if (found) event.*member = *found;
    return found.has_value();
  }
  bool operator()(std::string Event::*member) const {
    if (value.as_string() == nullptr) return false;
    event.*member = *value.as_string();
    return true;
  }
  bool operator()(std::int64_t Event::*member) const {
    if (member == &Event::time_ns) {
      auto time = value.as_string() != nullptr ? parse_time(*value.as_string()) : std::nullopt;
      event.time_ns = time.value_or(0);
      return time.has_value();
    }
    if (value.as_int() == nullptr) return false;
    event.*member = *value.as_int();
    return true;
  }
  bool operator()(Kind Event::*member) const { return word(member, kKinds); }
  bool operator()(Operation Event::*member) const { return word(member, kOperations); }
  bool operator()(Layer Event::*member) const { return word(member, kLayers); }
};

}  // namespace

std::string_view kind_name(Kind kind) { return kKinds[static_cast<std::size_t>(kind)]; }
std::string_view operation_name(Operation operation) {
  return kOperations[static_cast<std::size_t>(operation)];
}
std::string_view layer_name(Layer layer) { return kLayers[static_cast<std::size_t>(layer)]; }

std::span<const Field> fields() { return kFields; }
std::span<const std::string_view> kind_names() { return kKinds; }
std::span<const std::string_view> operation_names() { return kOperations; }
std::span<const std::string_view> layer_names() { return kLayers; }

Json event_to_json(const Event& event) {
  Json out{JsonObject{}};
  for (const Field& field : kFields) std::visit(ToJson{event, field, out}, field.member);
  return out;
}

Result<Event> parse_event(std::string_view line) {
  constexpr std::string_view kDoing = "read an event";
  Json json = TRY(Json::parse(line));
  if (json.find("kind") == nullptr || json.find("time") == nullptr)
    return fail(kDoing, "", "it has no kind or no time");
  Event event;
  for (const Field& field : kFields) {
    const Json* value = json.find(field.name);
    if (value != nullptr && !std::visit(FromJson{event, *value}, field.member))
      return fail(kDoing, field.name, "not what belongs there");
  }
  return event;
}

std::string time_text(std::int64_t time_ns) {
  std::int64_t fraction = time_ns % kSecond;
  std::time_t seconds = time_ns / kSecond;
  if (fraction < 0) {
    fraction += kSecond;
    --seconds;
  }
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return {};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     fraction / 1000);
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  constexpr std::string_view kForm = "0000-00-00T00:00:00.000000Z";
  if (text.size() != kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == '0' ? !digit : text[i] != kForm[i]) return std::nullopt;
  }
  auto number = [text](std::size_t at, std::size_t length) {
    int value = 0;
    for (char digit : text.substr(at, length)) value = value * 10 + (digit - '0');
    return value;
  };
  std::tm parts{};
  parts.tm_year = number(0, 4) - 1900;
  parts.tm_mon = number(5, 2) - 1;
  parts.tm_mday = number(8, 2);
  parts.tm_hour = number(11, 2);
  parts.tm_min = number(14, 2);
  parts.tm_sec = number(17, 2);
  const std::int64_t seconds = ::timegm(&parts);
  // Beyond these, nanoseconds do not fit.
  constexpr std::int64_t kMost = 9'000'000'000;
  if (seconds < -kMost || seconds > kMost) return std::nullopt;
  return seconds * kSecond + number(20, 6) * std::int64_t{1000};
}

std::string describe_event(const Event& event) {
  std::string out;
  if (event.kind != Kind::denied) out = fmt::format("{}: ", kind_name(event.kind));
  if (event.operation != Operation::none)
    out += fmt::format("{} ", operation_name(event.operation));
  out += escape_for_terminal(event.subject);
  std::string why = escape_for_terminal(event.detail.empty() ? event.cause : event.detail);
  if (!why.empty()) out += fmt::format("{}{}", out.ends_with(": ") ? "" : ": ", why);
  if (event.kind == Kind::exit) out += fmt::format("status {}", event.status);
  std::string where = escape_for_terminal(event.rule);
  if (!event.origin.empty())
    where += fmt::format("{}{}", where.empty() ? "" : ", ", escape_for_terminal(event.origin));
  if (event.layer != Layer::none)
    where += fmt::format("{}{}", where.empty() ? "" : ", ", layer_name(event.layer));
  if (!where.empty()) out += fmt::format(" ({})", where);
  if (event.count > 1) out += fmt::format(", {} times", event.count);
  return out;
}

std::string describe_cure(const Event& event) {
  if (!event.cure.empty()) return escape_for_terminal(event.cure);
  if (!event.toml.empty()) return escape_for_terminal(event.toml);
  if (!event.never.empty()) return "never: " + escape_for_terminal(event.never);
  return {};
}

}  // namespace dirbox::log
