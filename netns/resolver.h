#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "launcher/base/event_loop.h"
#include "netns/host.h"

/// Name resolution by the host's own configuration: getaddrinfo(3) in worker threads, so that
/// nsswitch, /etc/hosts and split DNS count.
///
/// Theory of operation: the loop's thread queues a name; a worker resolves it and writes to an
/// eventfd; the loop's thread calls back. Questions for a name that is being asked already join it.
/// An answer, also a negative one, is kept for kAnswerLife, so that a burst of connections asks
/// once. A worker that hangs in a lookup is left hanging: the caller has its timeout, and at most
/// kWorkers threads exist. A name that nobody waits for any more is not looked up.
namespace dirbox::netns {

class Resolver {
 public:
  using Addresses = std::vector<IpAddress>;
  using Callback = std::function<void(const Result<Addresses>&)>;
  using Lookup = std::function<Result<Addresses>(const std::string& name)>;
  using Ticket = std::uint64_t;

  static constexpr int kWorkers = 8;
  static constexpr std::size_t kMaxQueue = 512;
  static constexpr std::size_t kMaxAddresses = 16;
  static constexpr std::chrono::seconds kAnswerLife{5};

  /// Starts the threads and waits until they run. `lookup` runs in them; tests pass their own.
  static Result<std::unique_ptr<Resolver>> make(EventLoop& loop, Lookup lookup);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  /// Calls back from the loop, never from here. ETIMEDOUT after `timeout`, EAGAIN when too many
  /// names are asked for, ENOENT when there is no address.
  Ticket resolve(const Hostname& name, std::chrono::milliseconds timeout, Callback callback);
  /// The callback is not called any more.
  void cancel(Ticket ticket);

 private:
  struct Waiter {
    Ticket ticket;
    Callback callback;
    EventLoop::TimerId timer;
    std::string name;  // asked for; empty for an answer that is there
  };
  struct Answer {
    Result<Addresses> addresses;
    EventLoop::Clock::time_point until;
  };
  struct Shared;

  Resolver(EventLoop& loop, Lookup lookup);
  void give_up(Ticket ticket);
  void take_answers();
  void finish(Ticket ticket, const Result<Addresses>& answer);
  void forget_old_answers();

  EventLoop& loop_;
  std::shared_ptr<Shared> shared_;
  std::map<std::string, std::vector<Ticket>> asked_;
  std::map<Ticket, Waiter> waiters_;
  std::map<std::string, Answer> answers_;
  Ticket next_ = 1;
};

/// The real one: AF_UNSPEC, stream, without AI_ADDRCONFIG. The search list of resolv.conf(5) serves
/// names of one label alone: what a rule allows with a dot in it is that name and no other.
Result<Resolver::Addresses> lookup_by_host(const std::string& name);

}  // namespace dirbox::netns
