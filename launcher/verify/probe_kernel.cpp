#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/sys.h"
#include "launcher/verify/probe.h"

namespace dirbox::verify {
namespace {

/// NUMBER [ARGUMENT…]: a system call with operands that the kernel refuses.
Outcome verb_syscall(const Words& words) {
  unsigned long long v[7] = {};
  for (std::size_t i = 0; i < words.size() && i < 7; ++i) v[i] = number(words[i]);
  return from_call(::syscall(static_cast<long>(v[0]), v[1], v[2], v[3], v[4], v[5], v[6]));
}

Outcome verb_node_name(const Words&) {
  utsname names{};
  return ::uname(&names) != 0 ? refused(errno) : succeeded(names.nodename);
}

/// FLAGS of unshare(2).
Outcome verb_unshare(const Words& words) {
  return from_call(::unshare(static_cast<int>(number(word_at(words, 0)))));
}

/// FLAGS of clone(2), by the raw call.
Outcome verb_clone(const Words& words) {
  long pid = ::syscall(SYS_clone, number(word_at(words, 0)) | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) ::_exit(0);
  return from_call(pid);
}

Outcome verb_mount(const Words& words) {
  return from_call(::mount("none", word_at(words, 0).c_str(), "tmpfs", 0, nullptr));
}
Outcome verb_bind(const Words& words) {
  return from_call(
      ::mount(word_at(words, 0).c_str(), word_at(words, 1).c_str(), nullptr, MS_BIND, nullptr));
}
Outcome verb_remount(const Words& words) {
  return from_call(
      ::mount(nullptr, word_at(words, 0).c_str(), nullptr, MS_REMOUNT | MS_BIND, nullptr));
}
Outcome verb_umount(const Words& words) {
  return from_call(::umount2(word_at(words, 0).c_str(), MNT_DETACH));
}
Outcome verb_open_tree(const Words& words) {
  return from_call(
      ::open_tree(AT_FDCWD, word_at(words, 0).c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}
Outcome verb_fsopen(const Words& words) {
  return from_call(::fsopen(word_at(words, 0).c_str(), FSOPEN_CLOEXEC));
}
Outcome verb_pivot_root(const Words& words) {
  return from_call(sandbox::sys::pivot_root(word_at(words, 0).c_str(), word_at(words, 0).c_str()));
}
Outcome verb_chroot(const Words& words) { return from_call(::chroot(word_at(words, 0).c_str())); }

/// How many Landlock domains fit on top of what confines this process: 16 in all (landlock(7)).
Outcome verb_landlock_room(const Words&) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return refused(errno);
  struct {
    std::uint64_t handled = LANDLOCK_ACCESS_FS_MAKE_BLOCK;
  } attribute;
  constexpr int kMost = 64;
  int room = 0;
  for (; room < kMost; ++room) {
    UniqueFd ruleset(sandbox::sys::landlock_create_ruleset(&attribute, sizeof attribute, 0));
    if (!ruleset.valid()) return refused(errno);
    if (sandbox::sys::landlock_restrict_self(ruleset.get()) == 0) continue;
    if (errno != E2BIG) return refused(errno);
    break;
  }
  return succeeded(std::to_string(room));
}

/// KEY: a System V shared memory segment of that key.
Outcome verb_shm(const Words& words) {
  return from_call(::shmget(static_cast<key_t>(number(word_at(words, 0))), 0, 0));
}
Outcome verb_sem(const Words& words) {
  return from_call(::semget(static_cast<key_t>(number(word_at(words, 0))), 0, 0));
}

Outcome verb_msg(const Words& words) {
  return from_call(::msgget(static_cast<key_t>(number(word_at(words, 0))), 0));
}
/// NAME: a POSIX message queue.
Outcome verb_mqueue(const Words& words) {
  UniqueFd queue(::mq_open(word_at(words, 0).c_str(), O_RDONLY | O_CLOEXEC));
  return queue.valid() ? succeeded() : refused(errno);
}

/// RESOURCE: the limits of it, "SOFT HARD".
Outcome verb_limit(const Words& words) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource>(number(word_at(words, 0))), &limit) != 0)
    return refused(errno);
  return succeeded(std::to_string(limit.rlim_cur) + " " + std::to_string(limit.rlim_max));
}

/// NAME: a key of type user in the session keyring.
Outcome verb_key(const Words& words) {
  constexpr long kSearch = 10, kSessionKeyring = -3;  // keyctl(2), keyctl_search(3)
  return from_call(
      ::syscall(SYS_keyctl, kSearch, kSessionKeyring, "user", word_at(words, 0).c_str(), 0));
}

constexpr Verb kVerbs[] = {
    {"syscall", verb_syscall},
    {"limit", verb_limit},
    {"node-name", verb_node_name},
    {"unshare", verb_unshare},
    {"clone", verb_clone},
    {"mount", verb_mount},
    {"bind", verb_bind},
    {"remount", verb_remount},
    {"umount", verb_umount},
    {"open-tree", verb_open_tree},
    {"fsopen", verb_fsopen},
    {"pivot-root", verb_pivot_root},
    {"chroot", verb_chroot},
    {"landlock-room", verb_landlock_room},
    {"shm", verb_shm},
    {"sem", verb_sem},
    {"msg", verb_msg},
    {"mqueue", verb_mqueue},
    {"key", verb_key},
};

}  // namespace

std::span<const Verb> kernel_verbs() { return kVerbs; }

}  // namespace dirbox::verify
