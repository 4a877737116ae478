#include "netns/relay.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace dirbox::netns {
namespace {

/// Rounds of fill and drain before other connections get their turn.
constexpr int kRounds = 16;

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

void reset_connection(int socket) {
  // What close(2) does for SO_LINGER with no time. Every filter of ours makes that option do
  // nothing.
  sockaddr nobody{};
  nobody.sa_family = AF_UNSPEC;
  // On failure the peer sees an orderly end: less exact, not less safe.
  if (::connect(socket, &nobody, sizeof nobody) != 0) return;
}

Relay::Relay(RelayContext& context, UniqueFd client, UniqueFd upstream, NameState& name,
             Direction outward, PublishPlace place)
    : context_(context),
      client_(std::move(client)),
      upstream_(std::move(upstream)),
      name_(name),
      outward_(outward),
      place_(std::move(place)),
      active_(Clock::now()) {}

Relay::~Relay() {
  context_.loop.cancel(throttle_);
  context_.loop.remove(client_.get());
  context_.loop.remove(upstream_.get());
}

void Relay::start(bool client_is_watched) {
  if (client_is_watched &&
      context_.loop.hand_over(client_.get(), [this](std::uint32_t e) { on_client(e); })) {
    client_mask_ = kReadable;
  }
  // The client may have spoken while the server was being reached; the server had no time to.
  move(Ready::yes, Ready::no);
}

Relay::Ready Relay::readiness(Flow& incoming, std::uint32_t events) {
  incoming.urgent = (events & EPOLLPRI) != 0;
  if ((events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) return Ready::ending;
  return (events & (EPOLLIN | EPOLLPRI)) != 0 ? Ready::yes : Ready::no;
}

void Relay::on_client(std::uint32_t events) {
  bool room = (events & (EPOLLERR | EPOLLHUP | EPOLLOUT)) != 0;
  Ready in = readiness(up_, events);
  move(in, room ? Ready::yes : Ready::no);
}

void Relay::on_upstream(std::uint32_t events) {
  bool room = (events & (EPOLLERR | EPOLLHUP | EPOLLOUT)) != 0;
  Ready in = readiness(down_, events);
  move(room ? Ready::yes : Ready::no, in);
}

void Relay::wait_for_rate(Flow& flow) {
  flow.waiting = true;
  if (throttle_ != 0) return;
  throttle_ = context_.loop.after(kRatePause, [this] {
    throttle_ = 0;
    up_.waiting = down_.waiting = false;
    move(Ready::yes, Ready::yes);
  });
}

void Relay::check_idle(Clock::time_point now) {
  if (!over_ && now - active_ > context_.idle_timeout) end(Cause::timeout, true);
}

void Relay::move(Ready up, Ready down) {
  if (over_) return;
  if (!pump(Direction::up, up) || !pump(Direction::down, down)) return;
  if (up_.shut && down_.shut) return end(Cause::none, false);
  update_interest();
}

/// False when the relay ended.
bool Relay::pump(Direction direction, Ready ready) {
  if (ready == Ready::no) return true;
  bool is_up = direction == Direction::up;
  Flow& flow = is_up ? up_ : down_;
  const Flow& other = is_up ? down_ : up_;
  int source = is_up ? client_.get() : upstream_.get();
  int sink = is_up ? upstream_.get() : client_.get();
  for (int round = 0; round < kRounds && !flow.shut; ++round) {
    Step filled = Step::progress, drained = Step::progress;
    if (flow.held == 0) filled = fill(direction, flow, source, ready == Ready::ending);
    if (filled != Step::broken && flow.held > 0) drained = drain(flow, sink);
    if (flow.cut && flow.held == 0) filled = Step::broken;
    if (filled == Step::broken || drained == Step::broken) {
      bool used_up = name_.exhausted(direction);
      end(used_up ? Cause::byte_limit : Cause::none, true);
      return false;
    }
    if (flow.held == 0 && flow.ended) {
      flow.shut = true;
      // The last of the two is passed on by close(2). ENOTCONN: the sink is gone; its own flow
      // will find out.
      if (!other.shut && ::shutdown(sink, SHUT_WR) != 0 && errno != ENOTCONN) {
        end(Cause::none, true);
        return false;
      }
    }
    if (filled == Step::blocked || drained == Step::blocked) break;
  }
  if (flow.held == 0 && flow.pipe.valid()) context_.pipes.give_back(std::move(flow.pipe));
  return true;
}

/// Bytes that may be read now; 0: none, and `step` says how to go on.
std::uint64_t Relay::allowance(Direction direction, Flow& flow, int source, Step& step) {
  std::uint64_t room = PipePool::kPipeBytes - flow.held;
  if (!name_.limited()) return room;
  std::uint64_t most = name_.allowance(direction, Clock::now());
  if (most > 0) return std::min(room, most);
  step = Step::blocked;
  if (flow.held > 0) return 0;  // what was read goes first
  if (!name_.exhausted(direction)) {
    wait_for_rate(flow);
    return 0;
  }
  // Only a further byte breaks the limit; an end of stream does not.
  char byte;
  ssize_t n = ::recv(source, &byte, 1, MSG_PEEK);
  if (n == 0) flow.ended = true;
  if (n > 0 || (n < 0 && errno != EAGAIN)) step = Step::broken;
  return 0;
}

/// Into the pipe, which is empty; the result is that of recv(2).
ssize_t Relay::pass_urgent_mark(Flow& flow, int source, std::uint64_t most) {
  constexpr int on = 1;
  if (::setsockopt(source, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) != 0) return -1;
  char bytes[PIPE_BUF];  // what a pipe takes whole or not at all
  ssize_t n = ::recv(source, bytes, std::min<std::uint64_t>(most, sizeof bytes), 0);
  if (n <= 0) return n;
  if (::write(flow.pipe.write.get(), bytes, static_cast<std::size_t>(n)) == n) return n;
  errno = EIO;
  return -1;
}

/// `ending`: reads on to the end of the stream, so that it travels with the last bytes.
Relay::Step Relay::fill(Direction direction, Flow& flow, int source, bool ending) {
  if (flow.cut) return Step::broken;
  if (flow.ended || flow.waiting) return Step::blocked;
  do {
    Step step = Step::progress;
    std::uint64_t most = allowance(direction, flow, source, step);
    if (most == 0) return step;
    if (!flow.pipe.valid()) {
      auto pipe = context_.pipes.take();
      if (!pipe) return Step::broken;
      flow.pipe = std::move(*pipe);
    }
    ssize_t n = ::splice(source, nullptr, flow.pipe.write.get(), nullptr, most,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    // At a mark: 0 when the end of the stream has arrived behind it.
    if (flow.urgent && (n == 0 || (n < 0 && errno == EAGAIN))) {
      if (flow.held > 0) return Step::blocked;  // what was read goes first
      n = pass_urgent_mark(flow, source, most);
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Step::blocked;
    if (n < 0) {
      flow.cut = true;
      return flow.held == 0 ? Step::broken : Step::blocked;
    }
    if (n == 0) {
      flow.ended = true;
      return Step::blocked;
    }
    flow.held += static_cast<std::uint32_t>(n);
    name_.spend(direction, static_cast<std::uint64_t>(n));
    active_ = Clock::now();
    if (!ending && static_cast<std::uint64_t>(n) < most) return Step::blocked;
  } while (ending && flow.held < PipePool::kPipeBytes);
  return Step::progress;
}

Relay::Step Relay::drain(Flow& flow, int sink) {
  // Held back for the shutdown(2) or close(2) that follows.
  unsigned more = flow.ended ? SPLICE_F_MORE : 0;
  while (flow.held > 0) {
    ssize_t n = ::splice(flow.pipe.read.get(), nullptr, sink, nullptr, flow.held,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK | more);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? Step::blocked : Step::broken;
    if (n == 0) return Step::broken;
    flow.held -= static_cast<std::uint32_t>(n);
  }
  active_ = Clock::now();
  return Step::progress;
}

std::uint32_t Relay::interest_of(const Flow& incoming, const Flow& outgoing) {
  std::uint32_t mask = 0;
  if (!incoming.ended && incoming.held == 0 && !incoming.waiting) mask |= kReadable;
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
  } else if (current != 0) {
    done = context_.loop.modify(fd, wanted);
  } else if (fd == client_.get()) {
    done = context_.loop.add(fd, wanted, [this](std::uint32_t events) { on_client(events); });
  } else {
    done = context_.loop.add(fd, wanted, [this](std::uint32_t events) { on_upstream(events); });
  }
  current = wanted;
  if (!done) end(Cause::none, true);
}

void Relay::end(Cause cause, bool reset) {
  if (over_) return;
  over_ = true;
  // Closed with this object, at the end of the loop's turn.
  context_.loop.forget(client_.get());
  context_.loop.forget(upstream_.get());
  client_mask_ = upstream_mask_ = 0;
  if (reset) {
    reset_connection(client_.get());
    reset_connection(upstream_.get());
  }
  context_.finished(*this, cause);
}

}  // namespace dirbox::netns
