#include "launcher/broker/docker/process.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include <condition_variable>
#include <memory>
#include <vector>

#include "launcher/base/sanitized.h"
#include "launcher/broker/docker/bodies.h"
#include "launcher/broker/docker/confine.h"
#include "launcher/broker/docker/connection.h"
#include "launcher/broker/docker/control.h"
#include "launcher/broker/docker/refusal.h"
#include "launcher/broker/docker/transform.h"
#include "netns/confine.h"

namespace dirbox::docker {
namespace {

constexpr int kFailed = 125;
/// Connections at once. `docker run` has three, `docker logs -f` and `docker events` keep one;
/// more wait in the listener's backlog.
constexpr int kWorkers = 96;
constexpr std::size_t kStack = 512 * 1024;

/// Theory of operation: every worker waits in accept(2) on the one listener and serves what it gets
/// to its end. The workers are there before the seccomp filter, which forbids making threads. Plain
/// calls in many threads, since a connection spends its life waiting for an engine; what they share
/// is constant but for Engine's facts and the lock of Shared.
struct Process {
  UniqueFd control;
  Start start;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Shared> shared;
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0;    ///< workers that run: what the C library does first is behind them
  bool open = false;  ///< the filter is in force: workers may read
};

/// The socket is in the sandbox's own /run; who comes by /proc/PID/root is another user.
bool is_callers(int socket, uid_t uid) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == uid;
}

void* work(void* argument) {
  Process& process = *static_cast<Process*>(argument);
  {
    std::unique_lock lock(process.mutex);
    ++process.waiting;
    process.changed.notify_all();
    process.changed.wait(lock, [&process] { return process.open; });
  }
  for (;;) {
    UniqueFd client(::accept4(process.start.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return nullptr;
      // Short for a moment, perhaps for others' sake: trying again at once would only spin.
      constexpr timespec kShort{0, 100'000'000};
      ::nanosleep(&kShort, nullptr);
      continue;
    }
    if (is_callers(client.get(), process.start.spec.uid))
      Connection(*process.shared, std::move(client)).run();
  }
}

Result<void> start_workers(Process& process) {
  pthread_attr_t attributes;
  if (::pthread_attr_init(&attributes) != 0) return fail_errno("start a thread", "");
  int err = ::pthread_attr_setstacksize(&attributes, kStack);
  if (err == 0) err = ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (int i = 0; i < kWorkers && err == 0; ++i) {
    pthread_t thread;
    err = ::pthread_create(&thread, &attributes, work, &process);
  }
  ::pthread_attr_destroy(&attributes);
  if (err != 0) return fail_errno("start a thread", "docker filter", err);
  std::unique_lock lock(process.mutex);
  process.changed.wait(lock, [&process] { return process.waiting == kWorkers; });
  return {};
}

Result<void> prepare(Process& process) {
  process.start = TRY(receive_start(process.control.get()));
  TRY_VOID(netns::apply_identity());
  TRY_VOID(enter_own_network());
  TRY_VOID(netns::drop_privileges());
  TRY_VOID(enter_landlock());
  process.engine = std::make_unique<Engine>(process.start.spec.sockets);
  process.shared = std::unique_ptr<Shared>(new Shared{process.start.spec, *process.engine, {}, {}});
  const int control = process.control.get();
  process.shared->on_refused = [control](const std::string& what, const Error& why) {
    // A supervisor that does not read loses a line of its summary.
    const bool engine = status_of(why) >= 500;
    const auto kind = engine ? Report::Kind::unserved : Report::Kind::refused;
    if (!send_report(control, {kind, what, sentence_of(why)})) return;
  };
  // Workers send reports and must not wait; this thread only waits for the end.
  if (::fcntl(control, F_SETFL, O_RDWR | O_NONBLOCK) != 0)
    return fail_errno("prepare the control socket", "");
  TRY_VOID(start_workers(process));
  if constexpr (!kSanitized) TRY_VOID(enter_filter());
  return {};
}

/// Blocks until the supervisor closes its end.
void await_end(int control) {
  for (;;) {
    pollfd source{control, POLLIN, 0};
    if (::poll(&source, 1, -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (source.revents != 0) return;
  }
}

/// Containers run on when the sandbox has ended, and nobody watches what they write then.
void report_left(Process& process) {
  Report left{Report::Kind::left, {}, {}};
  const FilterSpec& spec = process.start.spec;
  auto filter = add_filter("", "label", project_label(spec));
  auto running =
      filter ? process.engine->ask_json("/containers/json?" + encode_query({{"filters", *filter}}))
             : Result<std::optional<Json>>(std::optional<Json>());
  if (running && *running) left.text = names_of_writers(std::move(**running), spec);
  // Nobody listens: then there is nobody to tell.
  if (!send_report(process.control.get(), left)) return;
}

}  // namespace

int run_filter(int control) {
  // Never freed: workers use it until the process ends.
  auto* process = new Process;
  process->control.reset(control);
  if (auto prepared = prepare(*process); !prepared) {
    Report report{Report::Kind::failed, {}, prepared.error().message()};
    // Nobody listens: the exit status says the same.
    if (!send_report(control, report)) return kFailed;
    ::_exit(kFailed);
  }
  Report ready{Report::Kind::ready, {}, {}};
  if (!send_report(control, ready)) ::_exit(kFailed);
  {
    std::lock_guard lock(process->mutex);
    process->open = true;
    process->changed.notify_all();
  }
  await_end(control);
  report_left(*process);
  ::_exit(0);
}

}  // namespace dirbox::docker
