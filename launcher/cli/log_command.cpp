#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <map>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/events.h"
#include "launcher/cli/options.h"
#include "launcher/log/event_log.h"
#include "launcher/log/files.h"
#include "launcher/session/run_directory.h"

namespace dirbox::cli {
namespace {

using log::Event;
using log::Kind;

struct LogFlags {
  std::vector<std::string> ids;
  bool follow = false, denied = false, json = false, summary = false, list = false;
};

std::string local_time(std::int64_t time_ns, const char* form) {
  std::time_t seconds = time_ns / 1'000'000'000;
  std::tm parts{};
  char text[32];
  if (::localtime_r(&seconds, &parts) == nullptr) return {};
  return {text, std::strftime(text, sizeof text, form, &parts)};
}

/// "12:00:01 sh[42] write /etc/x: read-only (…)" and, beneath, what would allow it.
void print_event(const Event& event, bool color) {
  std::string who;
  if (event.pid != 0) who = fmt::format("{}[{}] ", escape_for_terminal(event.comm), event.pid);
  const bool denied = event.kind == Kind::denied;
  fmt::print("{} {}{}\n", paint(local_time(event.time_ns, "%H:%M:%S"), Color::dim, color), who,
             paint(log::describe_event(event), denied ? Color::red : Color::plain, color));
  if (std::string cure = log::describe_cure(event); !cure.empty())
    fmt::print("         {}\n", paint(cure, Color::green, color));
}

/// Of the repetitions of an event the last one counts.
class Summary {
 public:
  void add(const Event& event) {
    if (event.kind == Kind::start || event.kind == Kind::exit) return;
    auto [at, fresh] = index_.try_emplace(
        fmt::format("{} {} {}\n{}\n{}", log::kind_name(event.kind),
                    log::operation_name(event.operation), event.subject, event.rule, event.cause),
        events_.size());
    if (fresh) {
      events_.push_back(event);
    } else {
      events_[at->second] = event;
    }
  }
  const std::vector<Event>& events() const { return events_; }

 private:
  std::vector<Event> events_;
  std::map<std::string, std::size_t> index_;
};

int print_list(const LogFlags& flags, const std::vector<log::LogInfo>& logs) {
  if (flags.json) {
    JsonArray out;
    for (const log::LogInfo& log : logs) {
      Json row;
      row.set("session", log.id);
      row.set("time", log::time_text(log.time_ns));
      row.set("running", log.running);
      out.push_back(std::move(row));
    }
    fmt::print("{}\n", Json(std::move(out)).dump_for_terminal(true));
    return 0;
  }
  Table table;
  for (const log::LogInfo& log : logs) {
    table.add({escape_for_terminal(log.id), local_time(log.time_ns, "%Y-%m-%d %H:%M:%S"),
               log.running ? "running" : ""});
  }
  fmt::print("{}", table.render());
  return 0;
}

/// What is in the log by now. True when `summary` is not what was asked for.
Result<void> print_all(log::Reader& reader, const LogFlags& flags, Summary& summary) {
  const bool color = use_color(STDOUT_FILENO);
  for (;;) {
    auto event = TRY(reader.next());
    if (!event) break;
    if (flags.denied && event->kind != Kind::denied) continue;
    if (flags.summary) {
      summary.add(*event);
    } else if (flags.json) {
      fmt::print("{}\n", log::event_to_json(*event).dump_for_terminal());
    } else {
      print_event(*event, color);
    }
  }
  std::fflush(stdout);
  return {};
}

constexpr int kAgainMs = 200;

Result<bool> is_running(const std::string& session) {
  const auto running = TRY(session::list_sessions());
  return std::find(running.begin(), running.end(), session) != running.end();
}

/// The session to follow. One that runs comes before those that have ended, and need not have
/// logged anything.
Result<std::string> find_followed(const std::string& state, const std::string& id) {
  const auto logs = TRY(log::list_logs(path_join(state, log::kSessions)));
  const auto newest = std::find_if(logs.rbegin(), logs.rend(), [&](const log::LogInfo& log) {
    return log.running && log.id.starts_with(id);
  });
  if (id.empty() && newest != logs.rend()) return newest->id;
  std::vector<std::string> running;
  for (const std::string& session : TRY(session::list_sessions())) {
    if (session == id) return session;
    if (session.starts_with(id)) running.push_back(session);
  }
  if (running.size() == 1) {
    const bool alone = id.empty() || std::none_of(logs.begin(), logs.end(), [&](const auto& log) {
                         return log.id.starts_with(id) && log.id != running.front();
                       });
    if (alone) return running.front();
  }
  if (running.size() > 1)
    return fail("find a log", escape_for_terminal(id),
                "several sessions run: " + escape_for_terminal(join_words(running)),
                "name one: dirbox log -f ID");
  return TRY(log::find_log(state, id)).id;
}

/// A session without events has no log. False when it ended without one.
Result<bool> wait_for_log(const std::string& state, const std::string& session) {
  for (;;) {
    // Asked before the log is looked for: what is written until the end is not missed.
    const bool more = TRY(is_running(session));
    const auto logs = TRY(log::list_logs(path_join(state, log::kSessions)));
    if (std::any_of(logs.begin(), logs.end(), [&](const auto& log) { return log.id == session; }))
      return true;
    if (!more) return false;
    ::poll(nullptr, 0, kAgainMs);
  }
}

Result<int> show(const LogFlags& flags) {
  const std::string state = log::state_directory();
  if (flags.list) return print_list(flags, TRY(log::list_logs(path_join(state, log::kSessions))));
  const std::string asked = flags.ids.empty() ? "" : flags.ids.front();
  const std::string session =
      flags.follow ? TRY(find_followed(state, asked)) : TRY(log::find_log(state, asked)).id;
  if (flags.follow && !TRY(wait_for_log(state, session))) {
    fmt::print(stderr, "dirbox: session {} ended without an event\n", escape_for_terminal(session));
    return 0;
  }
  log::Reader reader = TRY(log::Reader::open(state, session));
  Summary summary;
  for (;;) {
    // Asked before the rest is read: what is written until the end of the session is not missed.
    // The log's own lock comes a moment after its file.
    const bool more = flags.follow && (reader.running() || TRY(is_running(session)));
    TRY_VOID(print_all(reader, flags, summary));
    if (!more) break;
    ::poll(nullptr, 0, kAgainMs);
  }
  for (const Event& event : summary.events()) {
    if (flags.json) {
      fmt::print("{}\n", log::event_to_json(event).dump_for_terminal());
    } else {
      fmt::print("{}\n", summary_line(event));
    }
  }
  if (reader.skipped() != 0)
    fmt::print(stderr, "dirbox: {} lines of the log are damaged\n", reader.skipped());
  return 0;
}

}  // namespace

int log_command(const Arguments& arguments) {
  LogFlags flags;
  Syntax syntax{
      "dirbox log [OPTION…] [ID]",
      "Tells what a session refused, and what would allow it; without ID, the last one.",
      {{"-f,--follow", "", "go on until the session ends", &flags.follow},
       {"--denied", "", "only what was refused", &flags.denied},
       {"--summary", "", "a line for each different event", &flags.summary},
       {"--list", "", "the sessions that have logged something", &flags.list},
       {"--json", "", "events as dirbox-events(5) describes them", &flags.json}},
      {{"ID", "a session, or how its id begins", &flags.ids, 0, 1}},
      false,
      {{"--list", "ID"}, {"--list", "--follow"}, {"--list", "--denied"}, {"--list", "--summary"}}};
  int status = parse_options(syntax, arguments);
  if (status >= 0) return status;
  auto shown = show(flags);
  return shown ? *shown : report(shown.error());
}

}  // namespace dirbox::cli
