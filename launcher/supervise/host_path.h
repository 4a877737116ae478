#pragma once
#include <string>

#include "launcher/base/unique_fd.h"

/// Paths of the host that a command inside names.
namespace dirbox::supervise {

enum class LastLink { opened, followed };

/// What `path`, which is absolute, names on the host, as an O_PATH descriptor; invalid with errno
/// where there is nothing. Never what is mounted on being looked for (autofs, AFS): an automounter
/// asks the network about the name, which would carry out what the command has put in it. There is
/// nothing then (ENOENT).
UniqueFd open_on_host(const std::string& path, LastLink last);

}  // namespace dirbox::supervise
