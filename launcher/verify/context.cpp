#include "launcher/verify/context.h"

#include "launcher/base/text.h"

namespace dirbox::verify {

Origin Context::find_waiver(std::string_view text) const {
  for (const plan::Note& waiver : plan_.waivers) {
    if (waiver.text.starts_with(text)) return waiver.origin;
  }
  return {};
}

void Context::add(std::string_view subject, Verdict verdict, std::string detail,
                  const Origin& origin) {
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
