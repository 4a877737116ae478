#pragma once
#include <string_view>

#include "launcher/base/result.h"

/// How the filter says no. The errno of the Error chooses the status of the answer.
namespace dirbox::docker {

/// EPERM, 403: what policy forbids. `detail` names the field or endpoint and the rule.
inline Failure refuse(std::string_view detail, std::string_view hint = {}) {
  return Failure(Error{"docker", {}, EPERM, std::string(detail), std::string(hint)});
}
/// EBADMSG, 400: what two parsers could read differently, or no parser at all.
inline Failure refuse_form(std::string_view detail) {
  return Failure(Error{"docker", {}, EBADMSG, std::string(detail), {}});
}
/// ENOENT, 404: what is not there, or not this project's.
inline Failure refuse_unknown(std::string_view detail) {
  return Failure(Error{"docker", {}, ENOENT, std::string(detail), {}});
}

inline constexpr const char* kBuildKit = "BuildKit is refused: what it builds cannot be checked";
inline constexpr const char* kClassicBuilder =
    "set DOCKER_BUILDKIT=0, which builds with the classic builder";
inline Failure refuse_buildkit() { return refuse(kBuildKit, kClassicBuilder); }

/// 400, 403, 404, 413 (EMSGSIZE), 417 (EOPNOTSUPP), 429 (EBUSY), 502 and 503 (the engine).
int status_of(const Error& error);

/// The sentence that the CLI prints: "dirbox: <detail>; <hint>".
std::string sentence_of(const Error& error);

}  // namespace dirbox::docker
