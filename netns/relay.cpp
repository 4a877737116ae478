#include "netns/relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace dirbox::netns {
namespace {

/// Rounds of fill and drain before other connections get their turn.
constexpr int kRounds = 16;
/// How long a flow whose rate is used up is left alone.
constexpr std::chrono::milliseconds kRatePause{20};

}  // namespace

Result<Pipe> PipePool::take() {
  if (!free_.empty()) {
    Pipe pipe = std::move(free_.back());
    free_.pop_back();
    return pipe;
  }
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) return fail_errno("make a pipe", "");
  Pipe pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
  // A smaller pipe works as well: EPERM means that the user has many.
  if (::fcntl(pipe.write.get(), F_SETPIPE_SZ, kPipeBytes) < 0 && errno != EPERM) {
    return fail_errno("size a pipe", "");
  }
  return pipe;
}

void PipePool::give_back(Pipe pipe) {
  if (free_.size() < kKeep) free_.push_back(std::move(pipe));
}

void set_reset_on_close(int socket) {
  linger hard{1, 0};
  // On failure the peer sees an orderly end: less exact, not less safe.
  if (::setsockopt(socket, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) != 0) return;
}

Relay::Relay(RelayContext& context, UniqueFd client, UniqueFd upstream, NameState& name)
    : context_(context),
      client_(std::move(client)),
      upstream_(std::move(upstream)),
      name_(name),
      active_(Clock::now()) {}

Relay::~Relay() {
  context_.loop.cancel(throttle_);
  context_.loop.remove(client_.get());
  context_.loop.remove(upstream_.get());
}

void Relay::start() { on_ready(); }

void Relay::wait_for_rate(Flow& flow) {
  flow.waiting = true;
  if (throttle_ != 0) return;
  throttle_ = context_.loop.after(kRatePause, [this] {
    throttle_ = 0;
    up_.waiting = down_.waiting = false;
    on_ready();
  });
}

void Relay::check_idle(Clock::time_point now) {
  if (!over_ && now - active_ > context_.idle_timeout) end(Cause::timeout, true);
}

void Relay::on_ready() {
  if (over_) return;
  if (!pump(Direction::up) || !pump(Direction::down)) return;
  if (up_.shut && down_.shut) return end(Cause::none, false);
  update_interest();
}

/// False when the relay ended.
bool Relay::pump(Direction direction) {
  Flow& flow = direction == Direction::up ? up_ : down_;
  int source = direction == Direction::up ? client_.get() : upstream_.get();
  int sink = direction == Direction::up ? upstream_.get() : client_.get();
  for (int round = 0; round < kRounds && !flow.shut; ++round) {
    Step step = flow.held == 0 ? fill(direction, flow, source) : Step::progress;
    if (step == Step::progress && flow.held > 0) step = drain(flow, sink);
    if (step == Step::broken) {
      bool used_up = name_.exhausted(direction);
      end(used_up ? Cause::byte_limit : Cause::none, true);
      return false;
    }
    if (flow.held == 0 && flow.ended) {
      // ENOTCONN: the sink is gone; its own flow will find out.
      flow.shut = true;
      if (::shutdown(sink, SHUT_WR) != 0 && errno != ENOTCONN) {
        end(Cause::none, true);
        return false;
      }
    }
    if (step == Step::blocked) break;
  }
  if (flow.held == 0 && flow.pipe.valid()) context_.pipes.give_back(std::move(flow.pipe));
  return true;
}

Relay::Step Relay::fill(Direction direction, Flow& flow, int source) {
  if (flow.ended || flow.waiting) return Step::blocked;
  std::uint64_t most = PipePool::kPipeBytes;
  if (name_.limited()) {
    most = std::min(most, name_.allowance(direction, Clock::now()));
    if (most == 0 && name_.exhausted(direction)) {
      // Only a further byte breaks the limit; an end of stream does not.
      char byte;
      ssize_t n = ::recv(source, &byte, 1, MSG_PEEK);
      if (n == 0) flow.ended = true;
      if (n > 0 || (n < 0 && errno != EAGAIN)) return Step::broken;
      return Step::blocked;
    }
    if (most == 0) {
      wait_for_rate(flow);
      return Step::blocked;
    }
  }
  if (!flow.pipe.valid()) {
    auto pipe = context_.pipes.take();
    if (!pipe) return Step::broken;
    flow.pipe = std::move(*pipe);
  }
  ssize_t n = ::splice(source, nullptr, flow.pipe.write.get(), nullptr, most,
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Step::blocked : Step::broken;
  if (n == 0) {
    flow.ended = true;
    return Step::blocked;
  }
  flow.held = static_cast<std::uint32_t>(n);
  name_.spend(direction, static_cast<std::uint64_t>(n));
  active_ = Clock::now();
  return Step::progress;
}

Relay::Step Relay::drain(Flow& flow, int sink) {
  while (flow.held > 0) {
    ssize_t n = ::splice(flow.pipe.read.get(), nullptr, sink, nullptr, flow.held,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? Step::blocked : Step::broken;
    if (n == 0) return Step::broken;
    flow.held -= static_cast<std::uint32_t>(n);
  }
  active_ = Clock::now();
  return Step::progress;
}

std::uint32_t Relay::interest_of(const Flow& incoming, const Flow& outgoing) {
  std::uint32_t mask = 0;
  if (!incoming.ended && incoming.held == 0 && !incoming.waiting) mask |= EPOLLIN;
  if (outgoing.held > 0) mask |= EPOLLOUT;
  return mask;
}

void Relay::update_interest() {
  watch(client_.get(), interest_of(up_, down_), client_mask_);
  if (!over_) watch(upstream_.get(), interest_of(down_, up_), upstream_mask_);
}

void Relay::watch(int fd, std::uint32_t wanted, std::uint32_t& current) {
  if (wanted == current) return;
  Result<void> done;
  if (wanted == 0) {
    context_.loop.remove(fd);
  } else if (current == 0) {
    done = context_.loop.add(fd, wanted, [this](std::uint32_t) { on_ready(); });
  } else {
    done = context_.loop.modify(fd, wanted);
  }
  current = wanted;
  if (!done) end(Cause::none, true);
}

void Relay::end(Cause cause, bool reset) {
  if (over_) return;
  over_ = true;
  context_.loop.remove(client_.get());
  context_.loop.remove(upstream_.get());
  client_mask_ = upstream_mask_ = 0;
  if (reset) {
    set_reset_on_close(client_.get());
    set_reset_on_close(upstream_.get());
  }
  context_.finished(*this, cause);
}

}  // namespace dirbox::netns
