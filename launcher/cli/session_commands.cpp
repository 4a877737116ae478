#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <ctime>

#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "launcher/session/control.h"

/// Subcommands that talk to running sessions.
namespace dirbox::cli {
namespace {

std::string text_of(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value != nullptr && value->as_string() != nullptr ? *value->as_string() : std::string();
}
std::optional<std::int64_t> number_of(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  if (value == nullptr || value->as_int() == nullptr) return std::nullopt;
  return *value->as_int();
}
const JsonArray& array_of(const Json& object, std::string_view key) {
  static const JsonArray kNone;
  const Json* value = object.find(key);
  return value != nullptr && value->as_array() != nullptr ? *value->as_array() : kNone;
}

/// Only a hint: the variable can be set by anyone, and the socket is absent inside in any case.
bool inside_sandbox() {
  const char* sandbox = std::getenv("IS_SANDBOX");
  return sandbox != nullptr && std::strcmp(sandbox, "1") == 0 && std::getenv("DIRBOX") != nullptr;
}

int report_no_session(Error error) {
  if (inside_sandbox()) {
    error.detail = "no control socket: this is inside a sandbox";
    error.hint = "ask the operator to run it on the host";
  }
  return report(error);
}

void print_rules(const Json& answer) {
  for (const Json& note : array_of(answer, "notes")) {
    if (note.as_string() != nullptr)
      fmt::print(stderr, "dirbox: note: {}\n", escape_for_terminal(*note.as_string()));
  }
  Table table;
  for (const Json& row : array_of(answer, "rules")) {
    const Json* deny = row.find("deny");
    bool refused = deny != nullptr && deny->as_bool() != nullptr && *deny->as_bool();
    std::string left;
    if (auto seconds = number_of(row, "seconds"))
      left = format_duration(std::chrono::seconds(*seconds)) + " left";
    table.add({refused ? "deny" : "allow", escape_for_terminal(text_of(row, "rule")),
               escape_for_terminal(text_of(row, "origin")), left});
  }
  fmt::print("{}", table.render());
}

struct ChangeFlags {
  std::vector<std::string> words;  ///< the session, the rule
  std::string duration;
  bool json = false;
};

/// `dirbox grant` and `dirbox revoke`.
int change_rules(const char* verb, const Syntax& syntax, ChangeFlags& flags,
                 const Arguments& arguments) {
  int status = parse_options(syntax, arguments);
  if (status >= 0) return status;
  Json request;
  request.set("verb", verb);
  request.set("rule", flags.words[1]);
  if (!flags.duration.empty()) {
    auto duration = parse_duration(flags.duration);
    if (!duration) {
      return report({"read --for", escape_for_terminal(flags.duration), 0,
                     "not a duration of at most 365 days", "write 90s, 10m, 2h or 1d"});
    }
    request.set("seconds", static_cast<std::int64_t>(duration->count()));
  }
  auto answer = session::ask_session(flags.words[0], request);
  if (!answer) {
    Error error = answer.error();
    error.operand = escape_for_terminal(error.operand);
    error.detail = escape_for_terminal(error.detail);
    return error.err == ENOENT ? report_no_session(std::move(error)) : report(error);
  }
  if (flags.json) {
    fmt::print("{}\n", answer->dump_for_terminal(true));
  } else {
    print_rules(*answer);
  }
  return 0;
}

std::vector<Positional> change_positionals(ChangeFlags& flags) {
  return {{"ID RULE", "a session (dirbox ps) and host, *.host, host:port, network or @bundle",
           &flags.words, 2, 2}};
}

std::string local_time(std::int64_t seconds) {
  std::time_t when = seconds;
  std::tm parts{};
  if (::localtime_r(&when, &parts) == nullptr) return "-";
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", parts);
}

}  // namespace

int grant_command(const Arguments& arguments) {
  ChangeFlags flags;
  Syntax syntax{"dirbox grant [--for DURATION] [--json] ID RULE",
                "Lets a running sandbox reach a host.",
                {{"--for", "DURATION", "for so long: 90s, 10m, 2h, 1d", &flags.duration},
                 {"--json", "", "print the resulting rules as JSON", &flags.json}},
                change_positionals(flags)};
  return change_rules("grant", syntax, flags, arguments);
}

int revoke_command(const Arguments& arguments) {
  ChangeFlags flags;
  Syntax syntax{"dirbox revoke [--json] ID RULE",
                "Refuses a host to a running sandbox.",
                {{"--json", "", "print the resulting rules as JSON", &flags.json}},
                change_positionals(flags)};
  return change_rules("revoke", syntax, flags, arguments);
}

int ps_command(const Arguments& arguments) {
  bool json = false;
  Syntax syntax{
      "dirbox ps [--json]", "Lists the running sandboxes.", {{"--json", "", "print JSON", &json}}};
  int status = parse_options(syntax, arguments);
  if (status >= 0) return status;
  auto sessions = session::list_sessions();
  if (!sessions) return report(sessions.error());
  Json request;
  request.set("verb", "info");
  JsonArray found;
  Table table;
  table.add({"ID", "PID", "PROFILE", "STARTED", "DIRECTORY"});
  for (const std::string& session : *sessions) {
    pid_t stopped = 0;
    auto info = session::ask_session(session, request, &stopped);
    if (stopped != 0) {
      table.add({escape_for_terminal(session), std::to_string(stopped), "-", "-", "stopped"});
      found.push_back(JsonObject{{"session", session}, {"pid", stopped}, {"stopped", true}});
    }
    if (!info) continue;  // it has just ended
    table.add({escape_for_terminal(session), std::to_string(number_of(*info, "pid").value_or(0)),
               escape_for_terminal(text_of(*info, "profile")),
               local_time(number_of(*info, "started").value_or(0)),
               escape_for_terminal(text_of(*info, "cwd"))});
    found.push_back(std::move(*info));
  }
  if (json) {
    fmt::print("{}\n", Json(std::move(found)).dump_for_terminal(true));
  } else {
    fmt::print("{}", table.render());
  }
  return 0;
}

}  // namespace dirbox::cli
