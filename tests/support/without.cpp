// without NAME[,NAME...][=ERRNO|=KILL] -- COMMAND [ARG...]
//
// Runs COMMAND as if the kernel lacked these system calls: they fail with ENOSYS (or ERRNO; KILL:
// they kill) in it and in all its children. A call is named, or given as clone:FLAGS /
// unshare:FLAGS, which fail only when one of the flags is set.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Name {
  const char* name;
  long number;
};

const Name kNames[] = {
    {"open_tree", SYS_open_tree},
    {"move_mount", SYS_move_mount},
    {"fsopen", SYS_fsopen},
    {"fsconfig", SYS_fsconfig},
    {"fsmount", SYS_fsmount},
    {"mount_setattr", SYS_mount_setattr},
    {"landlock_create_ruleset", SYS_landlock_create_ruleset},
    {"landlock_add_rule", SYS_landlock_add_rule},
    {"landlock_restrict_self", SYS_landlock_restrict_self},
    {"clone", SYS_clone},
    {"clone3", SYS_clone3},
    {"unshare", SYS_unshare},
    {"pidfd_open", SYS_pidfd_open},
    {"pidfd_send_signal", SYS_pidfd_send_signal},
    {"openat2", SYS_openat2},
    {"seccomp", SYS_seccomp},
    {"close_range", SYS_close_range},
    {"pivot_root", SYS_pivot_root},
    {"memfd_create", SYS_memfd_create},
    {"prctl", SYS_prctl},
    {"setsid", SYS_setsid},
    {"umount2", SYS_umount2},
    {"capset", SYS_capset},
    {"prlimit64", SYS_prlimit64},
    {"sethostname", SYS_sethostname},
    {"signalfd4", SYS_signalfd4},
    {"epoll_create1", SYS_epoll_create1},
    {"flock", SYS_flock},
};

/// For each call: [A = number in accumulator] jump over its return unless equal.
bool add_call(std::vector<sock_filter>& program, const std::string& word, unsigned action) {
  const size_t colon = word.find(':');
  const std::string name = word.substr(0, colon);
  for (const Name& known : kNames) {
    if (name != known.name) continue;
    const auto number = static_cast<unsigned>(known.number);
    if (colon == std::string::npos) {
      program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
      program.push_back(BPF_STMT(BPF_RET | BPF_K, action));
      return true;
    }
    const auto flags = static_cast<unsigned>(std::stoul(word.substr(colon + 1), nullptr, 0));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flags, 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, action));
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    return true;
  }
  return false;
}

unsigned action_from(const std::string& name) {
  if (name == "KILL") return SECCOMP_RET_KILL_PROCESS;
  if (name == "EPERM") return SECCOMP_RET_ERRNO | EPERM;
  if (name == "EACCES") return SECCOMP_RET_ERRNO | EACCES;
  if (name == "EINVAL") return SECCOMP_RET_ERRNO | EINVAL;
  if (name == "ENOSPC") return SECCOMP_RET_ERRNO | ENOSPC;
  return SECCOMP_RET_ERRNO | ENOSYS;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || std::strcmp(argv[2], "--") != 0) {
    std::fprintf(stderr, "usage: without NAME[,NAME...][=ERRNO] -- COMMAND [ARG...]\n");
    return 2;
  }
  const std::string spec = argv[1];
  const size_t equals = spec.find('=');
  const unsigned action =
      action_from(equals == std::string::npos ? "ENOSYS" : spec.substr(equals + 1));
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  std::istringstream names(spec.substr(0, equals));
  for (std::string word; std::getline(names, word, ',');) {
    if (!add_call(program, word, action)) {
      std::fprintf(stderr, "without: %s: not in the table\n", word.c_str());
      return 2;
    }
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0) {
    std::perror("without: seccomp");
    return 2;
  }
  execvp(argv[3], argv + 3);
  std::perror(argv[3]);
  return 2;
}
