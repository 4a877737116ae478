#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <set>

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

/// The store of the session whose id is or begins with `id`.
Result<std::string> find_store(const std::string& id) {
  const std::string state = log::state_directory();
  std::vector<std::string> found;
  for (const std::string& session : TRY(guard::list_stores(state))) {
    if (session.starts_with(id)) found.push_back(session);
  }
  if (found.empty())
    return fail("find a quarantine", escape_for_terminal(id), "there is none",
                "dirbox guard show lists all");
  if (found.size() > 1)
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
    const std::string number = record.number != 0 ? std::to_string(record.number) : "-";
    const bool restored = record.number != 0 && !guard::is_kept(store, record);
    fmt::print("{} {}  {}  {}{}\n", path_name(store), number, time_text(record.time),
               escape_for_terminal(record.path), restored ? "  restored" : "");
    Table table;
    for (const guard::Finding& finding : record.findings) {
      table.add({finding.key.empty() ? "whole" : escape_for_terminal(finding.key),
                 escape_for_terminal(finding.after),
                 finding.before ? "before: " + escape_for_terminal(*finding.before) : "",
                 escape_for_terminal(finding.why)});
    }
    fmt::print("{}", table.render(4));
    if (record.more != 0) fmt::print("    and {} more\n", record.more);
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
                             {"number", record.number != 0 ? Json(record.number) : Json()},
                             {"time", record.time},
                             {"path", record.path},
                             {"restored", record.number != 0 && !guard::is_kept(store, record)},
                             {"findings", std::move(findings)},
                             {"more", std::uint64_t{record.more}}});
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
    const auto sessions = guard::list_stores(log::state_directory());
    if (!sessions) return report(sessions.error());
    for (const std::string& session : *sessions) stores.push_back(path_join(base, session));
  } else {
    auto store = find_store(words.front());
    if (!store) return report(store.error());
    stores.push_back(*store);
  }
  JsonArray out;
  int worst = 0;
  for (const std::string& store : stores) {
    auto records = guard::read_records(store);
    if (!records) {
      worst = report(records.error());
      continue;
    }
    if (!records->whole)
      fmt::print(stderr, "dirbox: warning: some of what session {} recorded cannot be read\n",
                 path_name(store));
    if (json) {
      add_json(store, records->list, out);
    } else {
      print_records(store, records->list);
    }
  }
  if (json) fmt::print("{}\n", Json(std::move(out)).dump_for_terminal(true));
  return worst;
}

Result<Json> ask(const std::string& session, const std::string& store, const Record& record,
                 const char* step, pid_t* stopped = nullptr) {
  const Json request = JsonObject{{"verb", "accept"},
                                  {"step", step},
                                  {"quarantine", path_name(store)},
                                  {"number", record.number},
                                  {"path_hex", guard::to_hex(record.path)},
                                  {"sha256", record.seal.sha256},
                                  {"mode", record.seal.mode}};
  return session::ask_session(session, request, stopped);
}

/// One step with each of the sessions. Returns those that did it. One that cannot is named; one
/// that is stopped is warned of, and one that has ended no longer matters.
Result<std::vector<std::string>> ask_all(const std::vector<std::string>& sessions,
                                         const std::string& store, const Record& record,
                                         const char* step) {
  std::vector<std::string> out;
  for (const std::string& session : sessions) {
    pid_t stopped = 0;
    auto answer = ask(session, store, record, step, &stopped);
    if (answer) {
      out.push_back(session);
      continue;
    }
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
    if (error.hint.empty())
      error.hint = fmt::format("session {} watches it: try again when that has ended", session);
    return Failure(std::move(error));
  }
  return out;
}

/// Puts it back when every running session, which would quarantine it again, can take it for what
/// was there, and has done so. When that fails they forget it: the sandbox could make it again.
Result<void> put_back(const std::string& store, const Record& record) {
  const auto running = TRY(session::list_sessions());
  const auto able = TRY(ask_all(running, store, record, "ask"));
  auto told = ask_all(able, store, record, "commit");
  auto done = told ? guard::restore_record(store, record) : Result<void>(Failure(told.error()));
  if (done) return done;
  for (const std::string& session : able) {
    pid_t stopped = 0;
    if (ask(session, store, record, "withdraw", &stopped)) continue;
    const auto still = session::list_sessions();
    if (still && std::find(still->begin(), still->end(), session) == still->end()) continue;
    fmt::print(stderr, "dirbox: warning: session {} still takes {} for what belongs there\n",
               escape_for_terminal(session), escape_for_terminal(record.path));
  }
  return done;
}

/// The records with these numbers; without any, those that are still to be restored.
Result<std::vector<Record>> choose_records(const std::string& store,
                                           const std::vector<Record>& records,
                                           const std::vector<std::string>& numbers) {
  constexpr const char* kDoing = "restore from quarantine";
  constexpr const char* kHint = "dirbox guard show tells them";
  std::set<std::uint64_t> wanted;
  for (const std::string& word : numbers) {
    std::uint64_t number = 0;
    const char* end = word.data() + word.size();
    const auto read = std::from_chars(word.data(), end, number);
    if (read.ec != std::errc() || read.ptr != end)
      return fail(kDoing, escape_for_terminal(word), "not a number", kHint);
    if (number == 0 || std::none_of(records.begin(), records.end(), [&](const Record& record) {
          return record.number == number;
        })) {
      return fail(kDoing, escape_for_terminal(word), "no such number", kHint);
    }
    wanted.insert(number);
  }
  std::vector<Record> chosen;
  for (const Record& record : records) {
    if (wanted.contains(record.number) || (wanted.empty() && guard::is_kept(store, record)))
      chosen.push_back(record);
  }
  return chosen;
}

int restore_verb(const Arguments& arguments) {
  std::vector<std::string> words;
  int status = parse_options(
      {"dirbox guard restore SESSION [NUMBER…]",
       "Puts what was quarantined back where it was: all that a session has left there, or these.",
       {},
       {{"SESSION [NUMBER…]", "the session, and what to restore", &words, 1}}},
      arguments);
  if (status >= 0) return status;
  auto store = find_store(words.front());
  if (!store) return report(store.error());
  auto records = guard::read_records(*store);
  if (!records) return report(records.error());
  const auto chosen = choose_records(*store, records->list, {words.begin() + 1, words.end()});
  if (!chosen) return report(chosen.error());
  int worst = 0;
  for (const Record& record : *chosen) {
    if (auto done = put_back(*store, record); !done) {
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
