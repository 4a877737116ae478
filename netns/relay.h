#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "launcher/base/event_loop.h"
#include "netns/counters.h"
#include "netns/pipe_pool.h"

/// Moves bytes between two connected sockets after the verdict.
///
/// Theory of operation: one Relay has two independent Flows. A flow splices from its source into a
/// pipe lent by the pool and from there into its sink, and gives the pipe back when it is empty.
/// While the sink takes nothing, the source is not read: back-pressure is the kernel's, and at most
/// one pipe of bytes is in flight per direction. End of stream is passed on by shutdown(2) after
/// the last byte, in one segment with it where the source had ended by then: the sink wakes once.
/// The relay ends when both directions have ended. Any other error resets both sockets, so that
/// neither side takes a cut for an end.
///
/// Urgent data (TCP's one byte out of band) travels in line: splice(2) stops at its mark for good,
/// so recv(2) goes over it, and who asks for nothing special finds the byte in its place.
///
/// Only what an event speaks of is tried, and a source that gave less than was asked for has given
/// all: a call that would only say EAGAIN is one too many per message.
///
/// A socket is watched for exactly what can make progress (interest_of), and not watched at all
/// when nothing can: EPOLLHUP is level-triggered and cannot be masked.
namespace dirbox::netns {

class Relay;

/// One of the connections that peers outside made to published ports, by being one of its copies.
using PublishPlace = std::shared_ptr<const char>;

/// What relays share. Outlives them.
struct RelayContext {
  EventLoop& loop;
  PipePool& pipes;
  std::chrono::seconds idle_timeout;
  /// The relay is over: destroy it, but not before its callback has returned.
  std::function<void(Relay&, Cause)> finished;
};

class Relay {
 public:
  using Clock = std::chrono::steady_clock;

  /// Both connected and non-blocking. `name` counts the bytes and outlives the relay. `outward`:
  /// the direction of what the sandbox sends.
  Relay(RelayContext& context, UniqueFd client, UniqueFd upstream, NameState& name,
        Direction outward = Direction::up, PublishPlace place = {});
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  std::uint64_t id = 0;  ///< of its Keeper

  /// What a socket is watched for while the relay reads from it.
  static constexpr std::uint32_t kReadable = EPOLLIN | EPOLLRDHUP | EPOLLPRI;
  /// `client_is_watched`: the loop has it already, for kReadable.
  void start(bool client_is_watched = false);
  /// Ends the relay when no byte moved since `idle_timeout` before `now`.
  void check_idle(Clock::time_point now);
  const NameState& name() const { return name_; }
  /// All that the sandbox sent, and its end.
  bool has_passed_on() const { return (outward_ == Direction::up ? up_ : down_).shut; }

 private:
  struct Flow {
    Pipe pipe;
    std::uint32_t held = 0;  // bytes in the pipe
    bool ended = false;      // the source is at its end
    bool shut = false;       // and the sink knows
    bool cut = false;        // the source broke after what the pipe holds
    bool waiting = false;    // for the rate
    bool urgent = false;     // the source has a mark that splice(2) does not pass
  };
  enum class Step { progress, blocked, broken };

  /// Of one direction: nothing to do, bytes or room for them, or the source has ended as well.
  enum class Ready { no, yes, ending };

  void on_client(std::uint32_t events);
  void on_upstream(std::uint32_t events);
  static Ready readiness(Flow& incoming, std::uint32_t events);
  void move(Ready up, Ready down);
  void wait_for_rate(Flow& flow);
  bool pump(Direction direction, Ready ready);
  Step fill(Direction direction, Flow& flow, int source, bool ending);
  static ssize_t pass_urgent_mark(Flow& flow, int source, std::uint64_t most);
  std::uint64_t allowance(Direction direction, Flow& flow, int source, Step& step);
  Step drain(Flow& flow, int sink);
  void update_interest();
  void watch(int fd, std::uint32_t wanted, std::uint32_t& current);
  static std::uint32_t interest_of(const Flow& incoming, const Flow& outgoing);
  void end(Cause cause, bool reset);

  RelayContext& context_;
  UniqueFd client_, upstream_;
  NameState& name_;
  Direction outward_;
  PublishPlace place_;
  Flow up_, down_;
  std::uint32_t client_mask_ = 0, upstream_mask_ = 0;
  Clock::time_point active_;
  EventLoop::TimerId throttle_ = 0;  // ends the wait for the rate
  bool over_ = false;
};

/// Sends a reset in place of an orderly end. Nothing can be read or written any more.
void reset_connection(int socket);

}  // namespace dirbox::netns
