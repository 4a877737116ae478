#pragma once
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/plan/plan.h"
#include "launcher/verify/canaries.h"
#include "launcher/verify/probe.h"
#include "launcher/verify/report.h"
#include "launcher/verify/runner.h"

/// What the checks share.
namespace dirbox::verify {

class Context {
 public:
  using Start = std::function<Result<Runner>()>;
  Context(const plan::Plan& plan, Runner& runner, Canaries& canaries, int landlock_abi,
          Start start_plain)
      : plan_(plan),
        runner_(runner),
        canaries_(canaries),
        landlock_abi_(landlock_abi),
        start_plain_(std::move(start_plain)) {}

  const plan::Plan& plan() const { return plan_; }
  Canaries& canaries() { return canaries_; }
  int landlock_abi() const { return landlock_abi_; }  ///< 0 when the plan does not use it
  Outcome inside(std::string_view verb, const Words& words = {}) {
    return runner_.inside(verb, words);
  }
  static Outcome outside(std::string_view verb, const Words& words = {}) {
    return run_probe(verb, words);
  }

  /// The line of the plan's waiver that begins with `text`; an empty one where there is none.
  Origin find_waiver(std::string_view text) const;

  /// The way to a path inside that processes outside have; "" when there is none.
  std::string path_into(const std::string& path) { return runner_.path_into(path); }

  /// A second sandbox, exactly of the plan, which starts when it is first asked for; nullptr:
  /// plain_failure() says why not.
  Runner* plain();
  const std::string& plain_failure() const { return plain_failure_; }

  /// Where the findings go.
  void begin(Promise& promise) { promise_ = &promise; }
  /// Promises and areas that the user accepts to be given up.
  void accept(std::vector<std::string> names) { accepted_ = std::move(names); }
  /// `waived` is for what a built-in profile gives up, or what the user accepts; else it is a
  /// failure: the profile is weaker than the built-in one that it extends.
  void add(std::string_view subject, Verdict verdict, std::string detail,
           const Origin& origin = {});

  /// An attempt that must be refused with one of `errors`, judged beside its control.
  void judge_refused(std::string_view subject, const Outcome& got, const Outcome& control,
                     std::initializer_list<int> errors, const Origin& origin = {});
  /// The same verb and words on both sides.
  void must_refuse(std::string_view subject, std::string_view verb, const Words& words,
                   std::initializer_list<int> errors, const Origin& origin = {});
  /// An attempt that must succeed.
  void must_succeed(std::string_view subject, std::string_view verb, const Words& words,
                    const Origin& origin = {});
  /// A state that is read inside: must be `wanted`.
  void must_be(std::string_view subject, std::string_view verb, const Words& words,
               std::string_view wanted);

 private:
  const plan::Plan& plan_;
  Runner& runner_;
  Canaries& canaries_;
  int landlock_abi_;
  Start start_plain_;
  std::optional<Runner> plain_;
  std::string plain_failure_;
  std::vector<std::string> accepted_;
  Promise* promise_ = nullptr;
};

/// True for a promise of the area `only`, and for `only` itself.
bool is_wanted(std::string_view name, std::string_view only);

/// A promise: what is said, and the function that tests it.
struct Row {
  const char* name;
  const char* text;
  const char* layers;  ///< a layer that the Plan leaves out is taken from it
  void (*check)(Context& context);
};
std::span<const Row> file_rows();
std::span<const Row> identity_rows();
std::span<const Row> kernel_rows();
std::span<const Row> host_rows();
std::span<const Row> network_rows();
std::span<const Row> proxy_rows();
std::span<const Row> broker_rows();
std::span<const Row> docker_rows();
std::span<const Row> guard_rows();
std::span<const Row> object_rows();
std::span<const Row> sibling_rows();  ///< after all others that use Context::plain()

/// What only these two areas share: the names that verify adds to a network of mode proxy.
std::string allowed_name(const Canaries& canaries);
std::string denied_name(const Canaries& canaries);
/// The line by which the sandbox has the host's network; nullptr: it has its own.
const Origin* network_waiver(const Context& context);
/// `plan` with what lets its network dial the servers of `canaries`, for allowed_name().
plan::Plan make_attacked(const plan::Plan& plan, const Canaries& canaries);

}  // namespace dirbox::verify
