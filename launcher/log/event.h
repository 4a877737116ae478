#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "launcher/base/json.h"
#include "launcher/base/result.h"

/// What happened in a session, in the form that is kept: one struct, and one table of its fields
/// from which the file's form, the reader and the manual (dirbox-events(5)) follow.
namespace dirbox::log {

enum class Kind : std::uint8_t {
  start,   ///< the session's first event
  denied,  ///< policy refused something
  failed,  ///< something was allowed and could not be done
  limit,   ///< a limit was reached
  fault,   ///< dirbox could not do its work
  run,     ///< an excluded command ran, or ended, on the host
  rules,   ///< the rules of a running session were changed
  guard,   ///< a guarded file was changed inside
  exit,    ///< the session's last event
};

enum class Operation : std::uint8_t {
  none,
  read,
  write,
  create,
  rename,
  remove,
  change,  ///< mode, owner, times, attributes
  exec,
  connect,
  resolve,
  listen,
  syscall,
  env,
  docker,
  tmux,
};

/// What enforced a refusal.
enum class Layer : std::uint8_t {
  none,
  name_space,
  mount,
  landlock,
  seccomp,
  netns,
  proxy,
  broker,
  guard,
  limits,
};

std::string_view kind_name(Kind kind);
std::string_view operation_name(Operation operation);
std::string_view layer_name(Layer layer);

struct Event {
  Kind kind = Kind::denied;
  Operation operation = Operation::none;
  Layer layer = Layer::none;
  std::int64_t time_ns = 0;  ///< CLOCK_REALTIME; 0: when it is written
  std::string session;       ///< filled in by the EventLog
  std::int64_t sequence = 0;
  std::int64_t pid = 0;  ///< as the host numbers it; 0: not known
  std::string comm{}, exe{};
  std::string subject{};  ///< path, host:port, call with its arguments, or argv
  std::string rule{};     ///< the entry that decided, as written: "*.example.com"
  std::string origin{};   ///< where the entry stands: "director.toml:3:5"
  std::string cause{};    ///< a stable word: "no-rule"
  std::string detail{};   ///< a sentence
  std::string cure{};     ///< options of `dirbox run` that would allow it, ready to paste
  std::string toml{};     ///< the same as a line of a profile
  std::string never{};    ///< why nothing would allow it
  std::int64_t count = 1;
  std::int64_t status = 0;  ///< of a command or of the session
  std::int64_t error = 0;   ///< errno that the caller got
};

struct Field {
  std::string_view name;
  std::variant<std::string Event::*, std::int64_t Event::*, Kind Event::*, Operation Event::*,
               Layer Event::*>
      member;
  std::string_view meaning;
};
/// In the order in which they are written.
std::span<const Field> fields();

/// Every word that an event can have for its kind, operation and layer; for the manual's check.
std::span<const std::string_view> kind_names();
std::span<const std::string_view> operation_names();
std::span<const std::string_view> layer_names();

/// An object without the fields that have nothing to say; the time as
/// "2026-01-31T12:00:00.000000Z".
Json event_to_json(const Event& event);
/// Errors: not an object, no kind or no time, a word that is not known. Further members are passed
/// over.
Result<Event> parse_event(std::string_view line);

/// "2026-01-31T12:00:00.000000Z" and back (RFC 3339, UTC, microseconds).
std::string time_text(std::int64_t time_ns);
std::optional<std::int64_t> parse_time(std::string_view text);

/// One line for people, safe for a terminal, without its time: "write /etc/x: read-only (…)".
std::string describe_event(const Event& event);
/// What would allow it: "--write /etc", or "never: …"; empty when nothing is known. Safe.
std::string describe_cure(const Event& event);

}  // namespace dirbox::log
