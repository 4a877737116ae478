#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/base/json.h"
#include "launcher/base/result.h"

/// What the filter is told: a part of the Plan, decided before it runs.
namespace dirbox::docker {

/// Where docker's client finds the filter inside.
inline constexpr std::string_view kSocket = "/run/dirbox/docker.sock";
/// The label of every container that the filter made; its value names the project.
inline constexpr std::string_view kProjectLabel = "dirbox.project";
/// The label of every image that the filter built. Not the same: an image's labels become those of
/// its containers, also of those that somebody else starts from it.
inline constexpr std::string_view kImageLabel = "dirbox.image";
/// Labels that begin so are the filter's own.
inline constexpr std::string_view kLabelPrefix = "dirbox.";

/// A limit, or a list, with the rule that a refusal names: "docker.memory (director.toml:40)".
struct Amount {
  std::uint64_t value = 0;
  std::string rule;
};
struct Names {
  std::vector<std::string> values;
  std::string rule;
};

/// Something beneath a bind root that the sandbox may not see or not write.
struct Mask {
  std::string path;  ///< relative to the root
  bool directory = false;
  bool hidden = false;  ///< else protected: readable, not writable
};

/// A path of the host that a container may get, whole or not at all. Its ancestors cannot be
/// written from inside, so that it names the same file whenever an engine resolves it.
struct BindRoot {
  std::string path;
  bool writable = false;
  bool directory = true;
  std::uint64_t device = 0, inode = 0;  ///< when the Plan was compiled
  std::vector<Mask> masks;
  std::string refusal;  ///< why it cannot be mounted after all; empty: it can
};

struct FilterSpec {
  std::vector<std::string> sockets;  ///< of engines, absolute, tried in order
  std::string project;               ///< value of kProjectLabel
  uid_t uid = 0;
  gid_t gid = 0;
  Amount memory;      ///< bytes: of a container that asks for none, and the most it may ask for
  Amount cpus;        ///< in units of 10^-9 CPUs
  Amount pids;        ///< processes
  Amount shm;         ///< bytes of /dev/shm and of each tmpfs
  Amount containers;  ///< how many may exist
  Names networks;     ///< the first one is what "default" becomes
  Names images;       ///< fnmatch(3) patterns; '*' matches '/' too
  Names capabilities;
  std::vector<BindRoot> binds;
  std::string binds_rule;
};

Json spec_to_json(const FilterSpec& spec);
Result<FilterSpec> parse_spec(std::string_view json);

}  // namespace dirbox::docker
