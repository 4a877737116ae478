#include "launcher/verify/context.h"

#include <algorithm>

#include "launcher/base/text.h"

namespace dirbox::verify {
namespace {

/// The path of a file has a '/', the name of a built-in profile has none (profiles/load.h), and an
/// option of the command line is no file.
bool is_built_in(const Origin& origin) {
  return origin.file.empty() ||
         (origin.file.ends_with(".toml") && origin.file.find('/') == std::string::npos);
}

}  // namespace

bool is_wanted(std::string_view name, std::string_view only) {
  return name == only || (name.starts_with(only) && name.substr(only.size()).starts_with("."));
}

Origin Context::find_waiver(std::string_view text) const {
  for (const plan::Note& waiver : plan_.waivers) {
    if (waiver.text.starts_with(text)) return waiver.origin;
  }
  return {};
}

Runner* Context::plain() {
  if (plain_) return &*plain_;
  if (plain_failure_.empty()) plain_failure_ = runner_.complaint();
  if (!plain_failure_.empty()) return nullptr;
  auto started = start_plain_();
  if (!started) {
    plain_failure_ = started.error().message();
    return nullptr;
  }
  return &plain_.emplace(std::move(*started));
}

void Context::add(std::string_view subject, Verdict verdict, std::string detail,
                  const Origin& origin) {
  if (verdict == Verdict::waived && !is_built_in(origin) &&
      std::none_of(accepted_.begin(), accepted_.end(),
                   [&](const std::string& name) { return is_wanted(promise_->name, name); })) {
    verdict = Verdict::fail;
    detail.insert(0, "given up: ");
  }
  promise_->findings.push_back({escape_for_terminal(subject), verdict, std::move(detail), origin});
}

void Context::judge_refused(std::string_view subject, const Outcome& got, const Outcome& control,
                            std::initializer_list<int> errors, const Origin& origin) {
  if (got.done()) return add(subject, Verdict::fail, "inside: " + got.text(), origin);
  if (got.kind == Outcome::Kind::not_run) return add(subject, Verdict::not_run, got.text(), origin);
  if (control.kind == Outcome::Kind::not_run)
    return add(subject, Verdict::not_run, "the control: " + control.text(), origin);
  if (!control.done()) return add(subject, Verdict::absent, "outside: " + control.text(), origin);
  if (!got.refused_with(errors))
    return add(subject, Verdict::not_run, "another error than expected: " + got.text(), origin);
  add(subject, Verdict::pass, got.text(), origin);
}

void Context::must_refuse(std::string_view subject, std::string_view verb, const Words& words,
                          std::initializer_list<int> errors, const Origin& origin) {
  judge_refused(subject, inside(verb, words), outside(verb, words), errors, origin);
}

void Context::must_succeed(std::string_view subject, std::string_view verb, const Words& words,
                           const Origin& origin) {
  Outcome got = inside(verb, words);
  Verdict verdict = got.done()                           ? Verdict::pass
                    : got.kind == Outcome::Kind::not_run ? Verdict::not_run
                                                         : Verdict::fail;
  add(subject, verdict, got.text(), origin);
}

void Context::must_be(std::string_view subject, std::string_view verb, const Words& words,
                      std::string_view wanted) {
  Outcome got = inside(verb, words);
  if (!got.done()) return add(subject, Verdict::not_run, got.text());
  bool equal = got.detail == wanted;
  std::string is = escape_for_terminal(got.detail);
  add(subject, equal ? Verdict::pass : Verdict::fail,
      equal ? is : is + ", must be " + escape_for_terminal(wanted));
}

}  // namespace dirbox::verify
