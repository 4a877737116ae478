#include "launcher/verify/runner.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <iterator>
#include <sstream>
#include <utility>
#include <vector>

#include "launcher/base/file.h"
#include "launcher/base/text.h"
#include "launcher/supervise/supervisor.h"

namespace dirbox::verify {
namespace {

constexpr const char* kProgram = "/run/dirbox/verify";  // /run is private in every sandbox
constexpr int kPatienceMs = 3 * static_cast<int>(kPatience) * 1000;
constexpr std::size_t kMaxAnswer = 1 << 20;

/// The Plan's sandbox with this program as its command.
Result<plan::Plan> make_plan(const plan::Plan& plan) {
  plan::Plan changed = plan;
  sandbox::Spec& spec = changed.spec;
  char path[4096];
  ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  if (n < 0) return fail_errno("find this program", "/proc/self/exe");
  sandbox::Mount mount;
  mount.kind = sandbox::MountKind::bind;
  mount.source.assign(path, static_cast<std::size_t>(n));
  mount.target = kProgram;
  mount.is_directory = false;
  mount.origin = {"dirbox verify", 0, 0};
  struct stat st {};
  if (::stat("/proc/self/exe", &st) != 0) return fail_errno("find this program", mount.source);
  mount.id = {st.st_dev, st.st_ino};
  spec.mounts.push_back(mount);
  spec.landlock_rules.push_back({kProgram, sandbox::Access::read});
  spec.executable = kProgram;
  spec.argv = {"dirbox", "__probe"};
  return changed;
}

struct Pipe {
  UniqueFd read, write;
};
Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("make a pipe", "");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// In the child: descriptors 0-2 are what the sandbox gets. None of `standard` is below 3.
[[noreturn]] void supervise_it(const plan::Plan& plan, sandbox::RunOptions options,
                               const int (&standard)[3], int failures,
                               const std::string& state_directory) {
  constexpr int kFailures = 3;
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(standard[fd], fd) < 0) ::_exit(125);
  }
  // Without its caller's ends of the pipes: they would never be at their end.
  if ((failures != kFailures && ::dup3(failures, kFailures, O_CLOEXEC) < 0) ||
      ::close_range(kFailures + 1, ~0u, 0) != 0 ||
      ::sigprocmask(SIG_SETMASK, &options.caller_mask, nullptr) != 0) {
    ::_exit(125);
  }
  // As a careless caller would leave it: without close-on-exec.
  int host = ::open("/", O_PATH | O_DIRECTORY);
  if (host < 0 || ::dup2(host, kCanaryDescriptor) < 0 || ::close(host) != 0) ::_exit(125);
  auto outcome = supervise::run_sandbox(plan, std::move(options), state_directory);
  if (!outcome) {
    const Error& error = outcome.error();
    std::string text = error.message() + (error.hint.empty() ? "" : "; " + error.hint);
    ::_exit(write_all(kFailures, text, "failure") ? 125 : 124);
  }
  ::_exit(outcome->status);
}

}  // namespace

Result<Runner> Runner::start(const plan::Plan& plan, sandbox::RunOptions options,
                             int standard_error, const std::string& state_directory) {
  plan::Plan changed = TRY(make_plan(plan));
  Pipe requests = TRY(make_pipe());
  Pipe answers = TRY(make_pipe());
  Pipe failures = TRY(make_pipe());
  Runner runner;
  runner.supervisor_ = ::fork();
  if (runner.supervisor_ < 0) return fail_errno("start a supervisor", "fork");
  if (runner.supervisor_ == 0) {
    const int standard[3] = {requests.read.get(), answers.write.get(), standard_error};
    supervise_it(changed, std::move(options), standard, failures.write.get(), state_directory);
  }
  runner.requests_ = std::move(requests.write);
  runner.answers_ = std::move(answers.read);
  runner.failures_ = std::move(failures.read);
  return runner;
}

Runner::Runner(Runner&& other) noexcept
    : supervisor_(std::exchange(other.supervisor_, -1)),
      requests_(std::move(other.requests_)),
      answers_(std::move(other.answers_)),
      failures_(std::move(other.failures_)),
      pending_(std::move(other.pending_)),
      complaint_(std::move(other.complaint_)) {}

Runner::~Runner() {
  requests_.reset();
  if (supervisor_ <= 0) return;
  while (::waitpid(supervisor_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Runner::end(const std::string& why) {
  requests_.reset();
  answers_.reset();
  if (supervisor_ > 0 && !why.empty()) ::kill(supervisor_, SIGKILL);
  auto text = read_fd(failures_.get(), 1 << 16, "");
  int status = 0;
  while (::waitpid(supervisor_, &status, 0) < 0 && errno == EINTR) {
  }
  supervisor_ = -1;
  complaint_ = !why.empty() ? why : text ? *text : "";
  if (complaint_.empty()) {
    complaint_ = "the sandbox ended with status " + std::to_string(WEXITSTATUS(status));
  }
}

Outcome Runner::inside(std::string_view verb, const Words& words) {
  if (!complaint_.empty()) return {Outcome::Kind::not_run, 0, complaint_};
  if (!write_all(requests_.get(), encode_probe(verb, words) + "\n", "")) {
    end({});
    return {Outcome::Kind::not_run, 0, complaint_};
  }
  for (;;) {
    if (std::size_t at = pending_.find('\n'); at != std::string::npos) {
      std::string line = pending_.substr(0, at);
      pending_.erase(0, at + 1);
      return decode_outcome(line);
    }
    pollfd source{answers_.get(), POLLIN, 0};
    int ready = ::poll(&source, 1, kPatienceMs);
    if (ready < 0 && errno == EINTR) continue;
    char chunk[4096];
    ssize_t n = ready > 0 ? ::read(answers_.get(), chunk, sizeof chunk) : 0;
    if (n <= 0 || pending_.size() > kMaxAnswer) {
      end(ready == 0 ? "no answer in time" : "");
      return {Outcome::Kind::not_run, 0, complaint_};
    }
    pending_.append(chunk, static_cast<std::size_t>(n));
  }
}

/// The supervisor's children are init, the proxy and the like; init's only child is the runner.
std::string Runner::path_into(const std::string& path) const {
  auto children = [](const std::string& pid) {
    auto text = read_file("/proc/" + pid + "/task/" + pid + "/children");
    std::istringstream words(text ? *text : "");
    return std::vector<std::string>(std::istream_iterator<std::string>(words), {});
  };
  for (const std::string& child : children(std::to_string(supervisor_))) {
    for (const std::string& grandchild : children(child)) {
      if (::access(("/proc/" + grandchild + "/root" + kProgram).c_str(), F_OK) == 0)
        return "/proc/" + grandchild + "/root" + path;
    }
  }
  return {};
}

bool Runner::kill_supervisor(int milliseconds) {
  if (supervisor_ <= 0 || ::kill(supervisor_, SIGKILL) != 0) return false;
  // The runner alone holds the other end, and nothing else inside has one.
  pollfd source{answers_.get(), POLLIN, 0};
  bool gone = ::poll(&source, 1, milliseconds) == 1 && (source.revents & POLLHUP) != 0;
  end("killed by verify itself");
  return gone;
}

}  // namespace dirbox::verify
