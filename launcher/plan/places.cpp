#include "launcher/plan/places.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/plan/claude_code.h"

namespace dirbox::plan {
namespace {

/// Directories that are private or made anew.
constexpr std::string_view kDirectories[] = {"/proc", "/sys",     "/dev",    "/tmp",
                                             "/run",  "/var/tmp", "/var/run"};
/// Files of /etc that say what is true inside (skeleton.cpp writes them).
constexpr std::string_view kFiles[] = {"/etc/passwd", "/etc/group",       "/etc/hostname",
                                       "/etc/hosts",  "/etc/resolv.conf", "/etc/nsswitch.conf",
                                       "/etc/mtab",   kClaudeSettings};
/// Of sysfs: how many processors and nodes there are, and what the cgroup allows. The rest tells
/// much about the machine, and root could change it.
constexpr std::string_view kHarmlessSys[] = {"/sys/devices/system", "/sys/fs/cgroup"};

template <class Range>
bool contains(const Range& range, std::string_view path) {
  return std::find(std::begin(range), std::end(range), path) != std::end(range);
}

bool is_strictly_beneath(std::string_view path, std::string_view ancestor) {
  return path != ancestor && path_is_beneath(path, ancestor);
}

std::optional<Refusal> refuse_type(const FileStat& stat) {
  if (stat.type == FileType::socket) {
    return Refusal{"it is a socket", "list it under sockets, or use --socket"};
  }
  if (S_ISCHR(stat.mode) || S_ISBLK(stat.mode)) {
    return Refusal{"it is a device", "list it under devices, or use --device"};
  }
  return std::nullopt;
}

std::optional<Refusal> refuse_kernel(std::string_view path, PathAccess access) {
  if (path_is_beneath(path, "/proc")) {
    return Refusal{"/proc is made anew inside, of the processes there", ""};
  }
  if (path_is_beneath(path, "/sys")) {
    const bool harmless =
        access == PathAccess::read &&
        std::any_of(std::begin(kHarmlessSys), std::end(kHarmlessSys),
                    [&](std::string_view part) { return path_is_beneath(path, part); });
    if (harmless) return std::nullopt;
    return Refusal{"it shows or changes the machine",
                   "only /sys/devices/system and /sys/fs/cgroup can be read"};
  }
  if (path_is_beneath(path, "/dev") && !is_strictly_beneath(path, "/dev/shm")) {
    return Refusal{"/dev is made anew inside", "list a device under devices, or use --device"};
  }
  return std::nullopt;
}

}  // namespace

bool OwnPlaces::is_own(std::string_view path) const {
  return contains(kDirectories, path) || contains(kFiles, path) || path == "/dev/shm" ||
         (!home_.empty() && path == home_);
}

bool OwnPlaces::lies_above(std::string_view path) const {
  auto beneath = [&](std::string_view own) { return is_strictly_beneath(own, path); };
  return std::any_of(std::begin(kDirectories), std::end(kDirectories), beneath) ||
         std::any_of(std::begin(kFiles), std::end(kFiles), beneath) ||
         (!home_.empty() && beneath(home_));
}

std::optional<Refusal> OwnPlaces::refuse(std::string_view path, PathAccess access,
                                         const FileStat& stat) const {
  if (path == "/") return Refusal{"it is the root of everything", "name what is needed in it"};
  if (auto refusal = refuse_kernel(path, access)) return refusal;
  if (contains(kFiles, path)) return Refusal{"it is made for the sandbox, not taken from here", ""};
  if (is_own(path) && path != home_) {
    return Refusal{"it is private inside", "name what is needed in it"};
  }
  if (access == PathAccess::write && lies_above(path)) {
    return Refusal{!home_.empty() && path_is_beneath(home_, path)
                       ? "your home lies in it, and the one inside is private"
                       : "parts of it are made for the sandbox",
                   "name what is to be written in it"};
  }
  return refuse_type(stat);
}

}  // namespace dirbox::plan
