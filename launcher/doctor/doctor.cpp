#include "launcher/doctor/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "launcher/base/text.h"
#include "launcher/doctor/isolate.h"

namespace dirbox::doctor {
namespace {

constexpr std::string_view kKeys[] = {"ok", "note", "absent", "failed", "notrun"};
constexpr std::string_view kNeeds[] = {"required", "waivable", "feature", "telling"};

const Check* find_check(std::string_view name) {
  for (const Check& check : checks()) {
    if (check.name == name) return &check;
  }
  return nullptr;
}

/// The wanted checks and what they build on.
std::set<std::string_view> select_checks(const std::vector<std::string>& only) {
  std::set<std::string_view> names;
  for (const Check& check : checks()) {
    const bool wanted = std::any_of(only.begin(), only.end(), [&](const std::string& one) {
      return check.name == one || check.area == one;
    });
    if (!only.empty() && !wanted) continue;
    for (const Check* at = &check; at != nullptr; at = find_check(at->builds_on)) {
      names.insert(at->name);
    }
  }
  return names;
}

/// "fsconfig proc: EPERM (Operation not permitted)".
std::string describe(const Outcome& outcome) {
  if (outcome.state != State::failed) return outcome.detail;
  std::string what = outcome.call;
  if (!outcome.detail.empty()) what += (what.empty() ? "" : " ") + outcome.detail;
  if (outcome.err == 0) return what;
  return fmt::format("{}: {} ({})", what.empty() ? "it" : what, errno_name(outcome.err),
                     ::strerror(outcome.err));
}

struct Mark {
  std::string_view text;
  Color color;
};

Mark mark_of(const Finding& finding) {
  switch (finding.outcome.state) {
    case State::ok:
      return {"ok", Color::green};
    case State::note:
      return {"--", Color::dim};
    case State::absent:
      return {"absent", Color::dim};
    case State::failed:
      return finding.holds() ? Mark{"missing", Color::yellow} : Mark{"FAILED", Color::red};
    case State::not_run:
      return {"not run", Color::yellow};
  }
  return {};
}

std::string render_finding(const Finding& finding) {
  std::string out;
  auto line = [&out](std::string_view label, std::string_view text) {
    if (!text.empty()) out += fmt::format("           {} {}\n", label, escape_for_terminal(text));
  };
  if (finding.outcome.state != State::failed) return out;
  line("cause:", finding.diagnosis.cause);
  line("fix:  ", finding.diagnosis.fix);
  return out;
}

std::string summary_of(const Report& report, bool color) {
  if (report.status() == 0) {
    return paint("dirbox can enforce every layer here.", Color::green, color) + "\n";
  }
  const bool commands = std::any_of(report.findings.begin(), report.findings.end(),
                                    [](const Finding& f) { return !f.diagnosis.commands.empty(); });
  std::string text = paint("dirbox cannot run everything here.", Color::red, color) + "\n";
  if (commands) text += "`dirbox doctor --fix` prints the commands.\n";
  return text;
}

}  // namespace

bool Finding::holds() const {
  if (outcome.state == State::ok || outcome.state == State::note) return true;
  return check->need == Need::feature || check->need == Need::telling;
}

int Report::status() const {
  return std::all_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return finding.holds(); })
             ? 0
             : 1;
}

Report run_doctor(const HostState& state, const std::vector<std::string>& only) {
  Report report;
  report.state = state;
  const auto wanted = select_checks(only);
  std::map<std::string_view, State> done;
  for (const Check& check : checks()) {
    if (!wanted.contains(check.name)) continue;
    Finding finding;
    finding.check = &check;
    const auto below = done.find(check.builds_on);
    if (below != done.end() && below->second != State::ok) {
      finding.outcome.detail = fmt::format("needs {}", check.builds_on);
    } else {
      const bool mapped = check.name != "userns";
      finding.outcome = run_isolated(
          check.namespaces, [&] { return check.probe(state); }, mapped);
    }
    if (finding.outcome.state == State::failed) {
      if (finding.outcome.detail.empty() && check.kind == Kind::other_namespace)
        finding.outcome.detail = check.name.substr(0, check.name.find('-'));
      finding.diagnosis = diagnose(check.kind, finding.outcome, state);
    }
    done[check.name] = finding.outcome.state;
    report.findings.push_back(std::move(finding));
  }
  return report;
}

std::string render_report(const Report& report, bool verbose, bool color) {
  Table table;
  for (const Finding& finding : report.findings) {
    const Mark mark = mark_of(finding);
    std::vector<std::string> row = {paint(mark.text, mark.color, color),
                                    std::string(finding.check->name)};
    if (verbose) row.emplace_back(finding.check->use);
    row.push_back(escape_for_terminal(describe(finding.outcome)));
    table.add(std::move(row));
  }
  const std::string rows = table.render();
  std::string out;
  std::size_t at = 0;
  for (const Finding& finding : report.findings) {
    const std::size_t end = rows.find('\n', at) + 1;
    out += rows.substr(at, end - at);
    at = end;
    out += render_finding(finding);
  }
  return out + "\n" + summary_of(report, color);
}

Json report_to_json(const Report& report) {
  Json out;
  out.set("version", DIRBOX_VERSION);
  out.set("path", report.state.self);
  out.set("kernel", report.state.release);
  out.set("uid", static_cast<std::int64_t>(report.state.euid));
  out.set("ok", report.status() == 0);
  JsonArray list;
  for (const Finding& finding : report.findings) {
    Json item;
    item.set("name", finding.check->name);
    item.set("area", finding.check->area);
    item.set("need", kNeeds[static_cast<int>(finding.check->need)]);
    item.set("use", finding.check->use);
    item.set("state", kKeys[static_cast<int>(finding.outcome.state)]);
    item.set("ok", finding.outcome.state == State::ok || finding.outcome.state == State::note);
    item.set("detail", finding.outcome.detail);
    if (finding.outcome.state == State::failed) {
      if (!finding.outcome.call.empty()) item.set("call", finding.outcome.call);
      if (finding.outcome.err != 0) item.set("errno", errno_name(finding.outcome.err));
      if (finding.outcome.signal != 0) item.set("signal", finding.outcome.signal);
      item.set("cause", finding.diagnosis.cause);
      item.set("fix", finding.diagnosis.fix);
      JsonArray commands(finding.diagnosis.commands.begin(), finding.diagnosis.commands.end());
      item.set("commands", std::move(commands));
    }
    list.push_back(std::move(item));
  }
  out.set("checks", std::move(list));
  return out;
}

std::string render_fixes(const Report& report) {
  std::string out;
  std::set<std::string> printed;
  for (const Finding& finding : report.findings) {
    if (finding.outcome.state != State::failed) continue;
    std::string text;
    for (const std::string& command : finding.diagnosis.commands) text += command + "\n";
    if (text.empty()) text = "# " + escape_for_terminal(finding.diagnosis.fix) + "\n";
    if (!printed.insert(text).second) continue;
    out += fmt::format("# {}: {}\n{}", finding.check->name,
                       escape_for_terminal(finding.diagnosis.cause), text);
  }
  return out.empty() ? "# nothing to fix\n" : out;
}

}  // namespace dirbox::doctor
