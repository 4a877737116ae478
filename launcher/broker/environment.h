#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"

/// What a host command finds in its environment: the host's own variables, and the few harmless
/// ones of the sandbox.
namespace dirbox::broker {

/// Whether a profile may let the sandbox set the variable `name` for a host command. Refused is
/// everything that makes a program load code, run another program, read another configuration or
/// talk to another server: LD_*, *_CONFIG, DOCKER_*, GIT_*, PATH, HOME, EDITOR … (CVE-2021-21261,
/// CVE-2017-5899). The error says which pattern refuses it.
Result<void> check_passable(std::string_view name);

/// NAME=VALUE entries that every host command gets, from the environment of the launcher: who the
/// user is, how to reach the user's daemons, and `path` as PATH (the
/// system's own directories when it is empty).
std::vector<std::string> compile_host_environment(std::span<const std::string> launcher,
                                                  std::string_view path);

/// The same for a command that may run only as rules permit: with variables that make the usual
/// programs start no pager and no editor, in which whoever types can run any other program.
std::vector<std::string> compile_ruled_environment(std::vector<std::string> host);

/// `host`, then what passes of the sandbox's `inside`: TERM, COLUMNS, LINES, LANG, LC_*, NO_COLOR
/// with values of a harmless form, and the names in `listed` with any value. Entries that are
/// malformed, repeated, refused by check_passable, or set by `host` are dropped.
std::vector<std::string> compile_environment(std::span<const std::string> host,
                                             std::span<const std::string> listed,
                                             std::span<const std::string_view> inside);

}  // namespace dirbox::broker
