#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/base/result.h"
#include "netns/http1.h"

/// The head of a request to the Docker API, read so that no engine reads it otherwise.
///
/// An engine's router decodes percent signs, cleans paths and takes any version (dockerd accepts
/// "/containers/%63reate" and "/v1.12/…", where `start` still took a HostConfig). So the path is
/// one of plain segments, with at most one version in front, and what goes upstream is written
/// afresh from the parts.
namespace dirbox::docker {

inline constexpr std::size_t kMaxPath = 512;
inline constexpr std::size_t kMaxParameter = 64 * 1024;  ///< one value, decoded
inline constexpr std::size_t kMaxParameters = 64;
/// Before API 1.24, starting a container could change its HostConfig.
inline constexpr unsigned kOldestVersion = 24;
inline constexpr unsigned kNewestVersion = 99;

struct Parameter {
  std::string key;
  std::string value;  ///< decoded
  bool operator==(const Parameter&) const = default;
};

struct Request {
  std::string method;
  unsigned version = 0;           ///< 41 for "/v1.41/…"; 0: none was given
  std::vector<std::string> path;  ///< segments after the version, at least one
  std::vector<Parameter> query;   ///< in order
  int minor_version = 1;          ///< of HTTP
  netns::BodyFraming body;
  bool keep_alive = false;
  bool upgrade = false;  ///< to "tcp", the raw stream of attach and exec

  std::string path_text() const;  ///< "containers/json"
};

/// `head` is one whole head with its empty line. Errors: EBADMSG for form, EPERM for versions,
/// EOPNOTSUPP for "Expect". Source of the grammar: RFC 9112, RFC 3986, and the API's own names.
Result<Request> parse_request(std::string_view head);

/// Letters, digits and "_.:@-", not "." and "..".
bool is_segment(std::string_view text);
/// A container, network or image by id or name, as one segment: [A-Za-z0-9][A-Za-z0-9_.-]*.
bool is_object_name(std::string_view text);

/// An image by name, tag, digest or id: segments with '/' between them.
bool is_image_name(std::string_view text);

/// "k=v&k2=v2" with everything but unreserved characters as %XX.
std::string encode_query(const std::vector<Parameter>& query);

}  // namespace dirbox::docker
