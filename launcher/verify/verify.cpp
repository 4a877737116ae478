#include "launcher/verify/verify.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "launcher/base/text.h"
#include "launcher/sandbox/landlock.h"
#include "launcher/verify/context.h"
#include "launcher/verify/sabotage.h"

namespace dirbox::verify {
namespace {

constexpr int kEndsWithinMs = 1000;

/// Ctrl-C and the like wait until the canaries are removed.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t set;
    sigemptyset(&set);
    for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, &before_);
    pipe_ = ::signal(SIGPIPE, SIG_IGN);
  }
  ~HeldSignals() {
    ::signal(SIGPIPE, pipe_);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  const sigset_t& before() const { return before_; }

 private:
  sigset_t before_{};
  sighandler_t pipe_ = SIG_DFL;
};

std::vector<Row> all_rows() {
  std::vector<Row> rows;
  for (std::span<const Row> table :
       {file_rows(), identity_rows(), kernel_rows(), network_rows(), proxy_rows(), broker_rows(),
        docker_rows(), guard_rows(), object_rows(), host_rows(), sibling_rows()})
    rows.insert(rows.end(), table.begin(), table.end());
  return rows;
}

constexpr std::string_view kLifeName = "life.end";

/// The layers of a row that the Plan has.
std::string layers_of(const Row& row, const plan::Plan& plan) {
  std::string out, text = row.layers;
  for (std::size_t start = 0; start < text.size();) {
    std::size_t end = std::min(text.find(", ", start), text.size());
    std::string layer = text.substr(start, end - start);
    start = end + 2;
    if ((layer == "Landlock" && !plan.spec.landlock) ||
        (layer == "net namespace" && !plan.spec.own_network)) {
      continue;
    }
    out += (out.empty() ? "" : ", ") + layer;
  }
  return out.empty() ? "none" : out;
}

/// The one promise that ends its sandbox, and so comes last.
Promise check_life(Runner& runner) {
  Promise promise{
      std::string(kLifeName), "nothing inside outlives dirbox", "pid namespace, pdeathsig", {}};
  Finding finding{"kill -9 of dirbox", Verdict::not_run, runner.complaint(), {}};
  if (finding.detail.empty()) {
    bool gone = runner.kill_supervisor(kEndsWithinMs);
    finding.verdict = gone ? Verdict::pass : Verdict::fail;
    finding.detail = gone ? "everything ended" : "something still runs after a second";
  }
  promise.findings.push_back(finding);
  return promise;
}

std::vector<plan::Note> limits_of(const plan::Plan& plan) {
  std::vector<plan::Note> limits;
  if (!plan.spec.landlock) return limits;
  limits.push_back({"which paths Landlock refuses: the mounts refuse the same ones first", {}});
  return limits;
}

Result<void> check_name(const std::string& name) {
  const std::vector<std::string> names = list_promises();
  if (std::any_of(names.begin(), names.end(),
                  [&](const std::string& one) { return is_wanted(one, name); })) {
    return {};
  }
  return fail("find a promise", escape_for_terminal(name), "there is none of that name",
              fmt::format("one of: {}", fmt::join(names, " ")));
}

}  // namespace

std::vector<std::string> list_promises() {
  std::vector<std::string> names;
  for (const Row& row : all_rows()) names.emplace_back(row.name);
  names.emplace_back(kLifeName);
  return names;
}

Result<Report> run_verify(const plan::Plan& plan, Options options) {
  for (const std::string& name : options.only) TRY_VOID(check_name(name));
  for (const std::string& name : options.accepted) TRY_VOID(check_name(name));
  HeldSignals held;
  Canaries canaries = TRY(Canaries::make());
  options.sandbox.caller_mask = held.before();
  int abi = 0;
  UniqueFd null;
  int standard_error = canaries.tmp_write_only.get();
  if (plan.spec.landlock) {
    auto found = sandbox::check_landlock_abi();
    abi = found ? *found : 0;
  } else {
    // Without Landlock no regular file may be passed for writing.
    null.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null.valid()) return fail_errno("open", "/dev/null");
    standard_error = null.get();
  }
  const sandbox::RunOptions same = options.sandbox;
  auto start_plain = [&] {
    return Runner::start(plan, same, standard_error, canaries.state_directory() + "-2");
  };
  plan::Plan attacked = make_attacked(plan, canaries);
  options.sandbox.test_skip = TRY(remove_layers(options.sabotage, canaries, attacked));
  Runner runner = TRY(Runner::start(attacked, std::move(options.sandbox), standard_error,
                                    canaries.state_directory()));
  Report report{plan.profile, escape_for_terminal(plan.cwd), {}, plan.waivers, limits_of(plan)};
  Context context(plan, runner, canaries, abi, start_plain);
  context.accept(options.accepted);
  const auto wanted = [&](std::string_view name) {
    return options.only.empty() ||
           std::any_of(options.only.begin(), options.only.end(),
                       [&](const std::string& one) { return is_wanted(name, one); });
  };
  for (const Row& row : all_rows()) {
    if (!wanted(row.name)) continue;
    Promise& promise =
        report.promises.emplace_back(Promise{row.name, row.text, layers_of(row, plan), {}});
    context.begin(promise);
    row.check(context);
  }
  if (wanted(kLifeName)) report.promises.push_back(check_life(runner));
  return report;
}

}  // namespace dirbox::verify
