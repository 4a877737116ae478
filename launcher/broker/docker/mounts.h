#pragma once
#include <string>
#include <string_view>

#include "launcher/broker/docker/rebuild.h"

/// Which paths of the host a container gets, and how.
///
/// An engine follows symlinks in a source and in its parents, resolves "..", and does so again at
/// every start: a directory at `create` can be a symlink to /etc at `start`. So a source is one of
/// the plan's bind roots exactly, whose ancestors nobody inside can write; and it is looked at
/// again before every start. What the sandbox may not see or write beneath a root is masked in the
/// container too.
namespace dirbox::docker {

/// The root that `source` names, written without "." and ".." and with at most one '/' at its end.
/// EPERM otherwise, and for a root that cannot be mounted.
Result<const BindRoot*> find_bind_root(const FilterSpec& spec, std::string_view source);

/// "source:target[:options]", as HostConfig.Binds has them. Options: ro, rw, and the propagation
/// that is the default anyway. Adds to `context`.
Result<void> add_bind(std::string_view text, BodyContext& context);
/// One element of HostConfig.Mounts: type bind or tmpfs, nothing but source, target and read-only.
/// A tmpfs goes to `context.masks`, anonymous volumes to `volumes`.
Result<void> add_mount(const Json& mount, BodyContext& context);
/// One element of HostConfig.Tmpfs.
Result<void> add_tmpfs(std::string_view target, std::string_view options, BodyContext& context);

/// An absolute path in a container without "." , ".." and ':'.
Result<std::string> check_target(std::string_view target);

/// That `root` still is what it was, reached without a symlink. Looks at the file system.
Result<void> check_root_unchanged(const BindRoot& root);

}  // namespace dirbox::docker
