#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "launcher/guard/store.h"
#include "launcher/log/event_log.h"
#include "launcher/session/control.h"

namespace dirbox::cli {
namespace {

using guard::Record;

/// The store of the session whose id is or begins with `id`; the last one for "".
Result<std::string> find_store(const std::string& id) {
  const std::string state = log::state_directory();
  std::vector<std::string> found;
  for (const std::string& session : guard::list_stores(state)) {
    if (session.starts_with(id)) found.push_back(session);
  }
  if (found.empty())
    return fail("find a quarantine", escape_for_terminal(id), "there is none",
                "dirbox guard show lists all");
  if (!id.empty() && found.size() > 1)
    return fail("find a quarantine", escape_for_terminal(id), "several begin so");
  return path_join(path_join(state, guard::kQuarantine), found.back());
}

std::string time_text(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  char text[32];
  if (::localtime_r(&time, &parts) == nullptr ||
      std::strftime(text, sizeof text, "%F %T", &parts) == 0) {
    return std::to_string(seconds);
  }
  return text;
}

void print_records(const std::string& store, const std::vector<Record>& records) {
  for (const Record& record : records) {
    fmt::print("{} {}  {}  {}\n", path_name(store), record.number, time_text(record.time),
               escape_for_terminal(record.path));
    Table table;
    for (const guard::Finding& finding : record.findings) {
      table.add({finding.key.empty() ? "whole" : escape_for_terminal(finding.key),
                 escape_for_terminal(finding.after),
                 finding.before ? "before: " + escape_for_terminal(*finding.before) : "",
                 escape_for_terminal(finding.why)});
    }
    fmt::print("{}", table.render(4));
  }
}

void add_json(const std::string& store, const std::vector<Record>& records, JsonArray& out) {
  for (const Record& record : records) {
    JsonArray findings;
    for (const guard::Finding& f : record.findings) {
      findings.push_back(JsonObject{{"key", f.key},
                                    {"before", f.before ? Json(*f.before) : Json()},
                                    {"after", f.after},
                                    {"why", f.why}});
    }
    out.push_back(JsonObject{{"session", path_name(store)},
                             {"number", record.number},
                             {"time", record.time},
                             {"path", record.path},
                             {"findings", std::move(findings)}});
  }
}

int show_verb(const Arguments& arguments) {
  std::vector<std::string> words;
  bool json = false;
  int status =
      parse_options({"dirbox guard show [--json] [SESSION]",
                     "Shows what was quarantined, in every session or in one.",
                     {{"--json", "", "as JSON", &json}},
                     {{"SESSION", "a session's id, or the beginning of one", &words, 0, 1}}},
                    arguments);
  if (status >= 0) return status;
  std::vector<std::string> stores;
  if (words.empty()) {
    const std::string base = path_join(log::state_directory(), guard::kQuarantine);
    for (const std::string& session : guard::list_stores(log::state_directory()))
      stores.push_back(path_join(base, session));
  } else {
    auto store = find_store(words.front());
    if (!store) return report(store.error());
    stores.push_back(*store);
  }
  JsonArray out;
  for (const std::string& store : stores) {
    auto records = guard::read_records(store);
    if (!records) return report(records.error());
    if (json) {
      add_json(store, *records, out);
    } else {
      print_records(store, *records);
    }
  }
  if (json) fmt::print("{}\n", Json(std::move(out)).dump(true));
  return 0;
}

/// Tells the running sessions, which would quarantine it again. One that cannot is named.
Result<void> announce(const std::string& store, const Record& record) {
  const Json request = JsonObject{{"verb", "accept"},
                                  {"quarantine", path_name(store)},
                                  {"number", record.number},
                                  {"path_hex", guard::to_hex(record.path)}};
  for (const std::string& session : TRY(session::list_sessions())) {
    pid_t stopped = 0;
    auto answer = session::ask_session(session, request, &stopped);
    if (answer) continue;
    if (stopped != 0) {
      fmt::print(stderr,
                 "dirbox: warning: session {} is stopped (pid {}): if it watches {}, it "
                 "quarantines that again\n",
                 escape_for_terminal(session), stopped, escape_for_terminal(record.path));
      continue;
    }
    const auto still = TRY(session::list_sessions());
    if (std::find(still.begin(), still.end(), session) == still.end()) continue;
    Error error = answer.error();
    error.detail = escape_for_terminal(error.detail);
    error.hint = fmt::format("session {} watches it: try again when that has ended", session);
    return Failure(std::move(error));
  }
  return {};
}

int restore_verb(const Arguments& arguments) {
  std::vector<std::string> words;
  int status = parse_options(
      {"dirbox guard restore SESSION [NUMBER…]",
       "Puts what was quarantined back where it was: everything of a session, or these.",
       {},
       {{"SESSION [NUMBER…]", "the session, and what to restore", &words, 1}}},
      arguments);
  if (status >= 0) return status;
  auto store = find_store(words.front());
  if (!store) return report(store.error());
  auto records = guard::read_records(*store);
  if (!records) return report(records.error());
  std::vector<Record> chosen;
  for (const Record& record : *records) {
    if (words.size() == 1 ||
        std::find(words.begin() + 1, words.end(), std::to_string(record.number)) != words.end()) {
      chosen.push_back(record);
    }
  }
  if (chosen.size() < words.size() - 1)
    return report({"restore from quarantine", path_name(*store).data(), 0, "no such number",
                   "dirbox guard show tells them"});
  int worst = 0;
  for (const Record& record : chosen) {
    auto done = announce(*store, record);
    if (done) done = guard::restore_record(*store, record);
    if (!done) {
      worst = report(done.error());
      continue;
    }
    fmt::print("{}\n", escape_for_terminal(record.path));
  }
  return worst;
}

constexpr Subcommand kVerbs[] = {
    {"show", "what was quarantined", show_verb},
    {"restore", "put it back", restore_verb},
};

}  // namespace

int guard_command(const Arguments& arguments) { return run_verb("guard", kVerbs, arguments); }

}  // namespace dirbox::cli
