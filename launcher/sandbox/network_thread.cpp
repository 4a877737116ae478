#include "launcher/sandbox/network_thread.h"

#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

namespace dirbox::sandbox {

Result<void> NetworkThread::start(std::function<Result<void>()> setup, bool shared) {
  setup_ = std::move(setup);
  shared_ = shared;
  const int err = ::pthread_create(&thread_, nullptr, run, this);
  if (err != 0) return fail_errno("start a thread", "", err);
  return {};
}

void* NetworkThread::run(void* self) {
  auto& thread = *static_cast<NetworkThread*>(self);
  if (auto made = thread.make(); !made) thread.failure_ = made.error();
  return nullptr;
}

Result<void> NetworkThread::make() {
  if (!shared_) {
    if (::unshare(CLONE_NEWNET) != 0) {
      return fail_errno("create the namespaces", "network", errno,
                        errno == EINVAL ? "the kernel lacks CONFIG_NET_NS"
                        : errno == ENOSPC
                            ? "user.max_net_namespaces is used up or 0: raise it with sysctl"
                            : "");
    }
    // A thread's namespace has no name after its end; a descriptor keeps it (netdevice(7):
    // SIOCGSKNS).
    UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.valid()) return fail_errno("open a socket", "AF_UNIX");
    namespace_.reset(::ioctl(socket.get(), SIOCGSKNS));
    if (!namespace_.valid()) return fail_errno("hold the namespace", "network");
  }
  return setup_();
}

Result<void> NetworkThread::join() {
  const int err = ::pthread_join(thread_, nullptr);
  if (err != 0) return fail_errno("wait for a thread", "", err);
  if (failure_) return Failure(*failure_);
  if (namespace_.valid() && ::setns(namespace_.get(), CLONE_NEWNET) != 0)
    return fail_errno("enter the namespace", "network");
  namespace_.reset();
  return {};
}

}  // namespace dirbox::sandbox
