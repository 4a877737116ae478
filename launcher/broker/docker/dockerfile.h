#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"

/// What a Dockerfile makes the engine do beside running commands in containers: fetch images and
/// URLs, from the host's network.
namespace dirbox::docker {

inline constexpr std::size_t kMaxDockerfile = 256 * 1024;

/// The images of FROM and COPY --from, without the names of stages and without "scratch".
/// EPERM for what would leave the sandbox or cannot be judged: ADD of anything but plain names
/// (URLs, variables), FROM and --from with variables, parser directives (they choose another parser
/// or escape character), here-documents. ONBUILD is judged like the instruction after it.
/// The lexical rules are those of the classic builder: lines end in '\' to continue, comments and
/// empty lines within continue too.
Result<std::vector<std::string>> parse_dockerfile(std::string_view text);

}  // namespace dirbox::docker
