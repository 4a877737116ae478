#include "launcher/supervise/requests.h"

#include <unistd.h>

#include <algorithm>
#include <ctime>

namespace dirbox::supervise {
namespace {

std::string text_member(const Json& request, std::string_view key) {
  const Json* value = request.find(key);
  return value != nullptr && value->as_string() != nullptr ? *value->as_string() : std::string();
}

}  // namespace

Requests::Requests(const plan::Plan& plan, Network& network, guard::Guard& guard)
    : plan_(plan), network_(network), guard_(guard), started_(std::time(nullptr)) {}

void Requests::handle(const Json& request, session::ControlServer::Reply reply) {
  const std::string verb = text_member(request, "verb");
  if (verb == "info") return reply(info());
  if (verb == "grant" || verb == "revoke") return change(verb, request, std::move(reply));
  if (verb == "accept") return reply(accept(request));
  reply(fail("answer a request", verb, "unknown verb"));
}

void Requests::change(const std::string& verb, const Json& request,
                      session::ControlServer::Reply reply) {
  auto done = [this, reply = std::move(reply)](const Result<Network::Notes>& notes) {
    reply(notes ? Result<Json>(rules(*notes)) : Failure(notes.error()));
  };
  const std::string rule = text_member(request, "rule");
  if (plan_.network.mode != netns::Mode::proxy)
    return done(fail(verb, rule, "the network of this sandbox has no rules (network.mode)"));
  if (verb == "revoke") return network_.revoke(rule, done);
  std::optional<std::chrono::seconds> duration;
  if (const Json* seconds = request.find("seconds")) {
    constexpr std::int64_t kLongest = 365 * 86'400;
    if (seconds->as_int() == nullptr || *seconds->as_int() < 1 || *seconds->as_int() > kLongest)
      return done(fail("grant", rule, "the duration is out of range"));
    duration = std::chrono::seconds(*seconds->as_int());
  }
  network_.grant(rule, duration, done);
}

Result<Json> Requests::accept(const Json& request) {
  constexpr const char* kDoing = "answer a request";
  using Step = guard::PutBack::Step;
  guard::PutBack what;
  const std::string step = text_member(request, "step");
  if (step != "ask" && step != "commit" && step != "withdraw")
    return fail(kDoing, "accept", "an unknown step");
  what.step = step == "ask" ? Step::ask : step == "commit" ? Step::commit : Step::withdraw;
  what.session = text_member(request, "quarantine");
  what.path = guard::from_hex(text_member(request, "path_hex"));
  what.seal.sha256 = text_member(request, "sha256");
  const Json* number = request.find("number");
  if (number == nullptr || number->as_int() == nullptr || what.path.empty())
    return fail(kDoing, "accept", "it names no file");
  what.number = static_cast<std::uint64_t>(*number->as_int());
  if (const Json* mode = request.find("mode"); mode != nullptr && mode->as_int() != nullptr)
    what.seal.mode = static_cast<unsigned>(*mode->as_int());
  TRY_VOID(guard_.accept(what));
  return Json(JsonObject{});
}

Json Requests::info() const {
  Json out;
  out.set("session", plan_.session);
  out.set("pid", static_cast<std::int64_t>(::getpid()));
  out.set("profile", plan_.profile);
  out.set("cwd", plan_.cwd);
  out.set("started", started_);
  out.set("attach", !plan_.spec.attach.empty());
  return out;
}

Json Requests::rules(const Network::Notes& notes) const {
  const auto now = netns::Grants::Clock::now();
  JsonArray listed;
  for (const auto& entry : network_.rules()) {
    Json row;
    row.set("rule", entry.rule.text);
    row.set("deny", entry.deny);
    row.set("origin", entry.rule.origin.text());
    if (entry.until) {
      auto left = std::chrono::ceil<std::chrono::seconds>(*entry.until - now);
      row.set("seconds", static_cast<std::int64_t>(std::max<std::int64_t>(left.count(), 0)));
    }
    listed.push_back(std::move(row));
  }
  JsonArray texts(notes.begin(), notes.end());
  Json out;
  out.set("rules", std::move(listed));
  out.set("notes", std::move(texts));
  return out;
}

}  // namespace dirbox::supervise
