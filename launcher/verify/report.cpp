#include "launcher/verify/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "launcher/base/text.h"

namespace dirbox::verify {
namespace {

constexpr std::string_view kNames[] = {"FAIL", "NOT RUN", "WAIVED", "PASS", "n/a"};
constexpr std::string_view kKeys[] = {"fail", "notrun", "waived", "pass", "na"};
constexpr Color kColors[] = {Color::red, Color::yellow, Color::yellow, Color::green, Color::dim};
constexpr Verdict kVerdicts[] = {Verdict::fail, Verdict::not_run, Verdict::waived, Verdict::pass,
                                 Verdict::absent};

std::string painted(Verdict verdict, bool color) {
  auto index = static_cast<std::size_t>(verdict);
  return paint(kNames[index], kColors[index], color);
}

/// "52", or "52, 3 n/a": how many probes are behind a line.
std::string counts(const Promise& promise) {
  std::string text;
  for (Verdict verdict : kVerdicts) {
    std::size_t n = promise.count(verdict);
    if (n == 0) continue;
    if (!text.empty()) text += ", ";
    text += verdict == Verdict::pass ? std::to_string(n)
                                     : fmt::format("{} {}", n, verdict_name(verdict));
  }
  return text;
}

bool shown(const Finding& finding, bool verbose) {
  return verbose || finding.verdict == Verdict::fail || finding.verdict == Verdict::not_run ||
         finding.verdict == Verdict::waived;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) { return kNames[static_cast<int>(verdict)]; }

Verdict Promise::verdict() const {
  Verdict worst = Verdict::absent;
  for (const Finding& finding : findings) worst = std::min(worst, finding.verdict);
  return worst;
}

std::size_t Promise::count(Verdict verdict) const {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(),
                    [&](const Finding& finding) { return finding.verdict == verdict; }));
}

std::size_t Report::count(Verdict verdict) const {
  std::size_t n = 0;
  for (const Promise& promise : promises) n += promise.count(verdict);
  return n;
}

int Report::status() const {
  if (count(Verdict::fail) != 0) return 1;
  return count(Verdict::not_run) != 0 || count(Verdict::pass) == 0 ? 2 : 0;
}

std::string render_report(const Report& report, bool verbose, bool color) {
  // A row of a table is a line of its text, in order: what belongs beneath is put in afterwards.
  Table table;
  for (const Promise& promise : report.promises) {
    table.add({painted(promise.verdict(), color), promise.name, promise.text, counts(promise),
               promise.layers});
  }
  std::string rows = table.render(), out;
  std::size_t at = 0;
  for (const Promise& promise : report.promises) {
    std::size_t end = rows.find('\n', at) + 1;
    out += rows.substr(at, end - at);
    at = end;
    for (const Finding& finding : promise.findings) {
      if (!shown(finding, verbose)) continue;
      std::string from =
          finding.origin.file.empty() ? "" : fmt::format(" ({})", finding.origin.text());
      out += fmt::format("         {} {}: {}{}\n", painted(finding.verdict, color), finding.subject,
                         finding.detail, from);
    }
  }
  for (const plan::Note& note : report.waivers) {
    out += fmt::format("{}  {} ({})\n", paint("weaker", Color::yellow, color), note.text,
                       note.origin.text());
  }
  for (const plan::Note& note : report.limits) {
    out += fmt::format("{}  {}\n", paint("unseen", Color::dim, color), note.text);
  }
  out += fmt::format("\n{} in {}: {} probes hold, {} fail, {} not run, {} waived, {} n/a\n",
                     report.profile, report.cwd, report.count(Verdict::pass),
                     report.count(Verdict::fail), report.count(Verdict::not_run),
                     report.count(Verdict::waived), report.count(Verdict::absent));
  return out;
}

Json report_to_json(const Report& report) {
  Json out;
  out.set("profile", report.profile);
  out.set("cwd", report.cwd);
  out.set("status", report.status());
  for (Verdict verdict : kVerdicts) {
    out.set(kKeys[static_cast<int>(verdict)], static_cast<std::uint64_t>(report.count(verdict)));
  }
  JsonArray promises;
  for (const Promise& promise : report.promises) {
    Json item;
    item.set("name", promise.name);
    item.set("promise", promise.text);
    item.set("layers", promise.layers);
    item.set("verdict", kKeys[static_cast<int>(promise.verdict())]);
    JsonArray findings;
    for (const Finding& finding : promise.findings) {
      Json one;
      one.set("subject", finding.subject);
      one.set("verdict", kKeys[static_cast<int>(finding.verdict)]);
      one.set("detail", finding.detail);
      if (!finding.origin.file.empty()) one.set("origin", finding.origin.text());
      findings.push_back(std::move(one));
    }
    item.set("findings", std::move(findings));
    promises.push_back(std::move(item));
  }
  out.set("promises", std::move(promises));
  JsonArray waivers, limits;
  for (const plan::Note& note : report.waivers) {
    Json item;
    item.set("text", note.text);
    item.set("origin", note.origin.text());
    waivers.push_back(std::move(item));
  }
  for (const plan::Note& note : report.limits) limits.push_back(note.text);
  out.set("waivers", std::move(waivers));
  out.set("limits", std::move(limits));
  return out;
}

}  // namespace dirbox::verify
