#include "netns/resolver.h"

#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace dirbox::netns {

/// What the threads share with the loop; they keep it alive, so that a thread that hangs in a
/// lookup at the end holds nothing else.
struct Resolver::Shared {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::string> queue;
  std::vector<std::pair<std::string, Result<Addresses>>> done;
  bool stopping = false;
  int started = 0;
  std::condition_variable all_started;
  UniqueFd event;
  Lookup lookup;

  void work() {
    std::unique_lock lock(mutex);
    ++started;
    all_started.notify_one();
    while (true) {
      wake.wait(lock, [&] { return stopping || !queue.empty(); });
      if (stopping) return;
      std::string name = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      auto addresses = lookup(name);
      lock.lock();
      done.emplace_back(std::move(name), std::move(addresses));
      // Fails only when the counter is full, and then the loop is awake already.
      if (::eventfd_write(event.get(), 1) != 0 && stopping) return;
    }
  }
};

Resolver::Resolver(EventLoop& loop, Lookup lookup)
    : loop_(loop), shared_(std::make_shared<Shared>()) {
  shared_->lookup = std::move(lookup);
}

Result<std::unique_ptr<Resolver>> Resolver::make(EventLoop& loop, Lookup lookup) {
  auto resolver = std::unique_ptr<Resolver>(new Resolver(loop, std::move(lookup)));
  Shared& shared = *resolver->shared_;
  shared.event.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared.event.valid()) return fail_errno("make an eventfd", "");
  TRY_VOID(
      loop.add(shared.event.get(), EPOLLIN, [r = resolver.get()](auto) { r->take_answers(); }));
  for (int i = 0; i < kWorkers; ++i) {
    try {
      std::thread([keep = resolver->shared_] { keep->work(); }).detach();
    } catch (const std::system_error& error) {
      return fail_errno("start a resolver thread", "", error.code().value());
    }
  }
  // A thread's first calls (rseq, set_robust_list) must be over before the caller installs a
  // filter.
  std::unique_lock lock(shared.mutex);
  shared.all_started.wait(lock, [&] { return shared.started == kWorkers; });
  return resolver;
}

Resolver::~Resolver() {
  loop_.remove(shared_->event.get());
  for (auto& [ticket, waiter] : waiters_) loop_.cancel(waiter.timer);
  std::lock_guard lock(shared_->mutex);
  shared_->stopping = true;
  shared_->wake.notify_all();
}

Resolver::Ticket Resolver::resolve(const Hostname& name, std::chrono::milliseconds timeout,
                                   Callback callback) {
  Ticket ticket = next_++;
  const std::string& text = name.text();
  auto later = [&](const Result<Addresses>& answer) {
    auto timer = loop_.after(std::chrono::milliseconds(0),
                             [this, ticket, answer] { finish(ticket, answer); });
    waiters_.emplace(ticket, Waiter{ticket, std::move(callback), timer, {}});
    return ticket;
  };
  forget_old_answers();
  if (auto known = answers_.find(text); known != answers_.end()) {
    return later(known->second.addresses);
  }
  if (!asked_.contains(text)) {
    std::lock_guard lock(shared_->mutex);
    if (shared_->queue.size() >= kMaxQueue) {
      return later(fail_errno("resolve", text, EAGAIN));
    }
    shared_->queue.push_back(text);
    shared_->wake.notify_one();
  }
  asked_[text].push_back(ticket);
  auto timer = loop_.after(timeout, [this, ticket, text] {
    give_up(ticket);
    finish(ticket, fail_errno("resolve", text, ETIMEDOUT));
  });
  waiters_.emplace(ticket, Waiter{ticket, std::move(callback), timer, text});
  return ticket;
}

void Resolver::cancel(Ticket ticket) {
  auto found = waiters_.find(ticket);
  if (found == waiters_.end()) return;
  give_up(ticket);
  loop_.cancel(found->second.timer);
  waiters_.erase(found);
}

/// What no worker has begun, and nobody else waits for, leaves the queue to others.
void Resolver::give_up(Ticket ticket) {
  auto asked = asked_.find(waiters_.at(ticket).name);
  if (asked == asked_.end()) return;
  std::erase(asked->second, ticket);
  if (!asked->second.empty()) return;
  std::lock_guard lock(shared_->mutex);
  if (std::erase(shared_->queue, asked->first) != 0) asked_.erase(asked);
}

void Resolver::finish(Ticket ticket, const Result<Addresses>& answer) {
  auto found = waiters_.find(ticket);
  if (found == waiters_.end()) return;
  Callback callback = std::move(found->second.callback);
  loop_.cancel(found->second.timer);
  waiters_.erase(found);
  callback(answer);
}

void Resolver::take_answers() {
  eventfd_t count;
  if (::eventfd_read(shared_->event.get(), &count) != 0 && errno != EAGAIN) return;
  std::vector<std::pair<std::string, Result<Addresses>>> done;
  {
    std::lock_guard lock(shared_->mutex);
    done.swap(shared_->done);
  }
  for (auto& [name, addresses] : done) {
    auto asked = asked_.extract(name);
    answers_.insert_or_assign(name, Answer{addresses, EventLoop::Clock::now() + kAnswerLife});
    if (asked.empty()) continue;
    for (Ticket ticket : asked.mapped()) finish(ticket, addresses);
  }
}

void Resolver::forget_old_answers() {
  auto now = EventLoop::Clock::now();
  std::erase_if(answers_, [&](const auto& entry) { return entry.second.until <= now; });
}

Result<Resolver::Addresses> lookup_by_host(const std::string& name) {
  // Read afresh each time: the C library does not when its options were changed.
  if (::res_init() != 0) return fail_errno("resolve", name, EAGAIN);
  if (name.find('.') == std::string::npos) {
    _res.options |= RES_DNSRCH;
  } else {
    _res.options &= ~static_cast<unsigned long>(RES_DNSRCH);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  int rc = ::getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (rc != 0) {
    bool soft = rc == EAI_AGAIN || rc == EAI_MEMORY || rc == EAI_SYSTEM;
    return Failure(Error{"resolve", name, soft ? EAGAIN : ENOENT, ::gai_strerror(rc), {}});
  }
  Resolver::Addresses out;
  for (addrinfo* at = list; at != nullptr && out.size() < Resolver::kMaxAddresses;
       at = at->ai_next) {
    if (at->ai_family == AF_INET) {
      sockaddr_in in;
      std::memcpy(&in, at->ai_addr, sizeof in);
      std::array<std::uint8_t, 4> bytes;
      std::memcpy(bytes.data(), &in.sin_addr, 4);
      out.push_back(IpAddress::v4(bytes));
    } else if (at->ai_family == AF_INET6) {
      sockaddr_in6 in;
      std::memcpy(&in, at->ai_addr, sizeof in);
      std::array<std::uint8_t, 16> bytes;
      std::memcpy(bytes.data(), &in.sin6_addr, 16);
      out.push_back(IpAddress::v6(bytes));
    }
  }
  ::freeaddrinfo(list);
  if (out.empty()) return fail_errno("resolve", name, ENOENT);
  return out;
}

}  // namespace dirbox::netns
