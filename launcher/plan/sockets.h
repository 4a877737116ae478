#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace dirbox::plan {

/// What a connection to the unix socket at `path` gives away, where that is known to be more than
/// the sandbox may have: then its entry needs dangerous = true. Both the path that was written and
/// the one without symlinks are to be asked for. Pure.
std::optional<std::string_view> socket_danger(const std::string& path);

}  // namespace dirbox::plan
