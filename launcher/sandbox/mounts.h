#pragma once
#include <functional>
#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/spec.h"

/// Builds the file tree of the sandbox and enters it.
///
/// Theory of operation: a tmpfs becomes the root. It is attached over "/", which no lookup of this
/// process follows (its own root is the mount beneath), so host paths still resolve while the tree
/// grows. Every bind source is opened once, without following any symlink, and compared with the
/// identity that the Plan saw; the detached clone of its whole tree gets its attributes and private
/// propagation before it is attached. Targets are opened beneath the root descriptor, without
/// symlinks. Nothing is created outside the tmpfs: a target in a bound tree exists and is the file
/// that the Plan saw, or the launch fails; where a bound tree leads to a tmpfs of the sandbox, that
/// one is recognised by its device number. pivot_root(2) then swaps the roots and the host's tree
/// is detached.
namespace dirbox::sandbox {

/// Makes the root tmpfs with `size` bytes and attaches it. Returns its descriptor.
Result<UniqueFd> make_root(std::uint64_t size);

/// The content of the shim of an excluded command.
using ShimImage = std::function<Result<std::string>(const std::string& command)>;

/// Makes the entries of the tree beneath `root`, in their order.
Result<void> apply_mounts(int root, const std::vector<Mount>& mounts, const ShimImage& shim,
                          const SyncedContent& synced);

/// Turns the root read-only, pivots into it, detaches the host's tree; cwd is "/" afterwards.
Result<void> enter_root(int root);

}  // namespace dirbox::sandbox
