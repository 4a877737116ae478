#pragma once
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"

/// Two views of one file tree: the command's, in which guarded mounts are read-only, and that of a
/// process beside it, the writer, in which they are not. What the command may change there, it may
/// change through the writer alone; a call that nobody looked at, or that was looked at in vain,
/// meets EROFS of the kernel.
namespace dirbox::sandbox {

struct Fork {
  bool is_writer = false;
  /// To the other process. The first carries nothing but its own end, with which the writer ends;
  /// each of the others is for one process that asks.
  std::vector<UniqueFd> sockets;
};

/// In the finished tree, while init has its capabilities: forks the writer, which keeps the mount
/// namespace, and gives this process a copy of it with `guarded`, mount points, read-only as far
/// down as mounts go. The writer goes through the steps that are left like init. `asking`: how many
/// processes will ask it.
Result<Fork> fork_writer(const std::vector<std::string>& guarded, std::size_t asking);

/// In the writer, after its last step: says so, closes all but `sockets`, and confines itself to
/// the calls that it needs. Returns the descriptors.
Result<std::vector<int>> enter_writer(std::vector<UniqueFd> sockets);
/// In init: waits for that. `socket`: the first.
Result<void> await_writer(int socket);

}  // namespace dirbox::sandbox
