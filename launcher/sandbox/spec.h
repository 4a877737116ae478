#pragma once
#include <linux/filter.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <termios.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "launcher/base/origin.h"
#include "launcher/base/result.h"

/// What the sandbox mechanism is told to build. A Spec is part of an immutable Plan; nothing here
/// decides anything, and every path is absolute and without symlinks unless said otherwise.
namespace dirbox::sandbox {

/// Identity of a file when the Plan was compiled. A source that is another file when it is mounted
/// stops the launch: the path was swapped meanwhile (CVE-2024-42472 class).
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileId&) const = default;
};

enum class MountKind {
  bind,       ///< `source` of the host at `target`
  copy,       ///< a regular file with the content of `source` of the host, owned by the own uid
  tmpfs,      ///< empty, writable, `size` bytes
  directory,  ///< plain directory of the root tmpfs (read-only in the end)
  file,       ///< plain file of the root tmpfs with `source` as its content
  symlink,    ///< symlink at `target` with `source` as its text
  mask,       ///< an unreadable empty directory or file over `target`, which exists
  read_only,  ///< `target`, which exists in the tree, becomes read-only
  proc,       ///< fresh procfs of the own pid namespace
  devpts,     ///< private devpts instance
  synced,     ///< a regular file with the content that RunOptions::synced has for `target`, if any
  shim,       ///< in_root: the program that stands for the excluded command `source`; else that
              ///< one over `target`, which exists
};

/// One entry of the file tree inside, in the order in which it is made: parents first.
struct Mount {
  MountKind kind = MountKind::bind;
  std::string target;
  std::string source;
  FileId id;  ///< bind, copy: of `source`; with in_root false, of what is at `target`
  bool in_root =
      true;  ///< the target is made in a tmpfs of the sandbox; false: it exists in a bind
  bool beneath_bind = false;  ///< in_root: a bind leads to that tmpfs, so the way may be hostile
  bool is_directory = true;
  bool writable = false;  ///< bind
  bool devices = false;   ///< bind: device nodes work
  std::uint64_t size = 0;
  unsigned mode = 0755;
  Origin origin;
  bool operator==(const Mount&) const = default;
};

enum class Access { list, read, write };

/// Landlock: `access` beneath `path` (a path inside). The union of all matching rules counts.
struct LandlockRule {
  std::string path;
  Access access = Access::read;
  bool operator==(const LandlockRule&) const = default;
};

struct Limit {
  int resource = 0;  ///< RLIMIT_*
  std::uint64_t value = 0;
  bool operator==(const Limit&) const = default;
};

/// A unix socket that init makes inside and hands out, for the launcher to accept on: the directory
/// of `path` is made too. It lies in a tmpfs of the sandbox.
struct UnixListener {
  std::string path;
  int type = 0;  ///< SOCK_STREAM, SOCK_SEQPACKET
  bool operator==(const UnixListener&) const = default;
};

struct Spec {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string hostname;

  std::uint64_t root_size = 16 << 20;  ///< bytes; directories and small files only
  std::vector<Mount> mounts;

  bool own_network = true;     ///< false: the host's network namespace, by an explicit mode
  bool nested_userns = false;  ///< user namespaces may be made inside; Landlock would forbid mounts
  bool landlock = true;
  std::vector<LandlockRule> landlock_rules;
  std::vector<Limit> limits;
  std::vector<UnixListener> listeners;
  /// In file systems of the sandbox: the launcher goes on seeing them (`started`, control.h).
  std::vector<std::string> shared_directories;

  /// Mount points that are writable for RunOptions::writer alone (writer.h).
  std::vector<std::string> guarded;
  std::string cwd;
  std::string executable;  ///< path inside
  std::vector<std::string> argv;
  std::vector<std::string> environment;  ///< NAME=value
  /// What `dirbox attach` runs when nothing is named. Empty: nothing can be attached.
  std::vector<std::string> attach;
};

/// How one of the descriptors 0-2 reaches the command.
enum class StdioKind { pass, pty };

/// How the network namespace gets its sockets. The mechanism is another's: init only calls it.
struct NetworkHooks {
  int channel = -1;  ///< SEQPACKET; init's end
  /// In the new namespace, with every capability over it: brings it up, sends its listeners over
  /// `channel`.
  std::function<Result<void>(int channel)> setup;
  /// While the command runs, without capabilities: answers a request on `channel`. False: no more.
  std::function<Result<bool>(int channel)> serve;
};

/// How excluded commands get their shims and sockets; see NetworkHooks.
struct BrokerHooks {
  /// The content of the shim of a command. Empty: there are none.
  std::function<Result<std::string>(const std::string& command)> image;
  /// In the finished tree, as pid 1: makes the sockets and sends them as `sockets` (control.h).
  std::function<Result<void>(int control)> listen;
};

/// With what a synced file begins; nullptr: there is none.
using SyncedContent = std::function<const std::string*(const std::string& target)>;

/// What writes below Spec::guarded, in a process inside; returns when the first socket is closed.
using WriterHook = std::function<void(std::span<const int> sockets)>;

/// What differs from one run of the same Spec to the next.
struct RunOptions {
  StdioKind stdio[3] = {StdioKind::pass, StdioKind::pass, StdioKind::pass};
  std::optional<termios> terminal_modes;  ///< with which the command's terminal begins
  std::optional<winsize> terminal_size;
  bool foreground = false;          ///< the command begins in the foreground of its terminal
  std::vector<sock_filter> filter;  ///< compiled seccomp program, last thing before exec
  sigset_t caller_mask{};           ///< the signal mask that the command gets back
  bool filter_notifies = false;     ///< the filter has a notify action: hand out its listener
  NetworkHooks network;
  BrokerHooks broker;
  SyncedContent synced;
  WriterHook writer;
  char* title = nullptr;  ///< this process's argument area, which init overwrites
  std::size_t title_size = 0;
  std::string test_fail;  ///< name of a step that fails on purpose (test builds)
  std::string test_skip;  ///< names of steps that are left out, with commas (test builds)
};

}  // namespace dirbox::sandbox
