#include "launcher/supervise/observer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "launcher/base/unix_socket.h"
#include "launcher/supervise/enforcer.h"
#include "launcher/supervise/events.h"
#include "launcher/supervise/look.h"
#include "seccomp/notify.h"

namespace dirbox::supervise {
namespace {

constexpr std::size_t kMaxReport = 60 << 10;
constexpr int kReportsPerTurn = 64;  // what is inside chooses how many there are

/// A report on the channel: how many were dropped before it, then the event as JSON; or nothing,
/// where a question is told that Asked::settle() waits for.
struct ReportHead {
  std::uint64_t dropped = 0;
};

/// The observer's own process.
class Process {
 public:
  Process(const plan::Plan& plan, seccomp::Listener listener, int channel, UniqueFd writer,
          Asked& asked)
      : plan_(plan),
        listener_(std::move(listener)),
        channel_(channel),
        asked_(asked),
        enforcer_(std::move(writer)),
        look_(
            plan, [this](const log::Event& event) { send(event); }, [this] { asked_.lose(); }) {}

  /// Until nobody is under the filter any more.
  int run() {
    listener_.prefer_same_cpu();
    for (;;) {
      auto call = listener_.receive();
      if (!call) return 1;
      if (!*call) {
        if (is_over()) return 0;
        continue;
      }
      if (asked_.note((*call)->pid) && !tell({})) asked_.wait_again();
      if (!answer(**call)) return 1;
    }
  }

 private:
  bool answer(const seccomp::Notification& call) {
    const auto decision = plan_.syscalls.decide(seccomp::kNativeArch,
                                                static_cast<std::uint32_t>(call.number), call.args);
    // A call of a foreign ABI has no Call, whatever its number; the filter answers those itself.
    const bool goes_on = call.call != nullptr && decision.action.permits();
    current_ = &call;
    if (goes_on) {
      if (plan_.observe != seccomp::Observe::none) look_.at_permitted(call);
      return enforcer_.ended() ? static_cast<bool>(listener_.let_go(call)) : enforce(call);
    }
    look_.at_denied(call, decision);
    return static_cast<bool>(
        listener_.deny(call, decision.action.err > 0 ? decision.action.err : EPERM));
  }

  bool enforce(const seccomp::Notification& call) {
    UniqueFd descriptor;
    bool close_on_exec = true;
    const guard::Answer answer = enforcer_.ask(listener_, call, descriptor, close_on_exec);
    if (enforcer_.ended())
      send(fault_event("the guard's writer ended: guarded directories are read-only from here on"));
    if (!answer.why.empty()) send(refused_event(answer, call));
    switch (answer.kind) {
      case guard::Answer::Kind::not_mine:
        return static_cast<bool>(listener_.let_go(call));
      case guard::Answer::Kind::guarded:
      case guard::Answer::Kind::failed:
        return static_cast<bool>(listener_.deny(call, answer.err > 0 ? answer.err : EPERM));
      case guard::Answer::Kind::done:
        break;
    }
    if (!descriptor.valid()) return static_cast<bool>(listener_.succeed(call));
    return give(call, std::move(descriptor), close_on_exec, answer.executable);
  }

  /// `first`: nobody else has it open when the call returns. In one step, where that is not needed.
  bool give(const seccomp::Notification& call, UniqueFd descriptor, bool close_on_exec,
            bool first) {
    if (!first) {
      auto given = listener_.give_fd(call, descriptor.get(), close_on_exec);
      return given || listener_.deny(call, given.error().err);
    }
    auto added = listener_.add_fd(call, descriptor.get(), close_on_exec);
    descriptor.reset();
    if (!added) return static_cast<bool>(listener_.deny(call, added.error().err));
    return !*added || listener_.succeed(call, **added);
  }

  bool is_over() {
    pollfd check{listener_.fd(), POLLIN, 0};
    return ::poll(&check, 1, 0) < 0 || (check.revents & POLLHUP) != 0;
  }

  void send(const log::Event& event) {
    // The process may have died, and its number be another's: then what was read is not its own.
    auto waits = listener_.still_waits(*current_);
    if (!waits || !*waits) return;
    if (!tell(log::event_to_json(event).dump())) ++dropped_;
  }

  /// False when there is no room.
  bool tell(const std::string& text) {
    ReportHead head{dropped_};
    std::string report(sizeof head, '\0');
    std::memcpy(report.data(), &head, sizeof head);
    report += text;
    if (report.size() > kMaxReport ||
        ::send(channel_, report.data(), report.size(), MSG_DONTWAIT | MSG_NOSIGNAL) !=
            static_cast<ssize_t>(report.size())) {
      return false;
    }
    dropped_ = 0;
    return true;
  }

  const plan::Plan& plan_;
  seccomp::Listener listener_;
  int channel_;
  Asked& asked_;
  Enforcer enforcer_;
  Look look_;
  const seccomp::Notification* current_ = nullptr;
  std::uint64_t dropped_ = 0;
};

/// Closes every descriptor that is not one of `kept`; negative ones count for nothing.
bool keep_only(std::array<int, 3> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned next = 0;
  for (int fd : kept) {
    if (fd < 0) continue;
    const auto number = static_cast<unsigned>(fd);
    if (number > next && ::close_range(next, number - 1, 0) != 0) return false;
    next = number + 1;
  }
  return ::close_range(next, ~0U, 0) == 0;
}

[[noreturn]] void observe(const plan::Plan& plan, UniqueFd listener, const UniqueFd& channel,
                          UniqueFd writer, Asked& asked, pid_t supervisor) {
  // Its output and terminal are not ours: nothing may wait for this process to close them.
  if (::setpgid(0, 0) != 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
      ::getppid() != supervisor || ::prctl(PR_SET_NAME, "dirbox-observer") != 0 ||
      !keep_only({listener.get(), channel.get(), writer.get()})) {
    ::_exit(1);
  }
  auto made = seccomp::Listener::make(std::move(listener));
  if (!made) ::_exit(1);
  ::_exit(Process(plan, std::move(*made), channel.get(), std::move(writer), asked).run());
}

}  // namespace

Observer::~Observer() { end(); }

Result<void> Observer::attach(UniqueFd listener) {
  listener_ = std::move(listener);
  written_ = false;
  return loop_.add(listener_.get(), EPOLLIN, [this](std::uint32_t events) { on_question(events); });
}

void Observer::on_question(std::uint32_t events) {
  loop_.remove(listener_.get());
  if ((events & EPOLLIN) != 0) {
    written_ = true;
    if (auto started = start(); !started) {
      sink_(fault_event("refusals are not observed, and calls that would be fail with ENOSYS: " +
                        started.error().message()));
    }
    asked_();
  }
  listener_.reset();
}

Result<void> Observer::start() {
  SocketPair pair = TRY(make_socket_pair());
  TRY_VOID(questions_.make());
  const pid_t self = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) return fail_errno("start the observer", "fork");
  if (pid_ == 0) {
    observe(plan_, std::move(listener_), pair.theirs, std::move(writer_), questions_, self);
  }
  writer_.reset();
  channel_ = std::move(pair.ours);
  if (::fcntl(channel_.get(), F_SETFL, O_NONBLOCK) != 0)
    return fail_errno("start the observer", "");
  return loop_.add(channel_.get(), EPOLLIN, [this](std::uint32_t) { on_report(); });
}

void Observer::on_report() {
  for (int i = 0; i < kReportsPerTurn && take_report(); ++i) {
  }
}

/// False when there is none.
bool Observer::take_report() {
  auto message = receive_message(channel_.get(), kMaxReport, 0);
  if (!message && message.error().err == EAGAIN) return false;
  if (!message || message->end || message->bytes.size() < sizeof(ReportHead)) {
    on_end();
    return false;
  }
  ReportHead head;
  std::memcpy(&head, message->bytes.data(), sizeof head);
  dropped_ += head.dropped;
  if (message->bytes.size() == sizeof head) {
    asked_();
    return true;
  }
  auto event = log::parse_event({reinterpret_cast<const char*>(message->bytes.data()) + sizeof head,
                                 message->bytes.size() - sizeof head});
  if (event) {
    sink_(std::move(*event));
  } else {
    ++dropped_;
  }
  return true;
}

/// It ends by itself when nobody is under the filter any more.
void Observer::on_end() {
  loop_.remove(channel_.get());
  channel_.reset();
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    sink_(fault_event("the observer ended, and calls that it was asked about fail with ENOSYS"));
  }
}

std::optional<std::uint64_t> Observer::settle() {
  if (listener_.valid()) return 0;  // nobody has answered anything
  if (!channel_.valid()) return std::nullopt;
  return questions_.settle();
}

bool Observer::is_silent(std::uint64_t since) const {
  return listener_.valid() ? since == 0 : channel_.valid() && questions_.is_silent(since);
}

void Observer::finish() {
  while (channel_.valid() && take_report()) {
  }
  end();
}

void Observer::end() {
  if (listener_.valid()) loop_.remove(listener_.get());
  if (channel_.valid()) loop_.remove(channel_.get());
  listener_.reset();
  channel_.reset();
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

}  // namespace dirbox::supervise
