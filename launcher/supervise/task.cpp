#include "launcher/supervise/task.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/unique_fd.h"

namespace dirbox::supervise {
namespace {

constexpr std::size_t kPage = 4096;

UniqueFd open_inside(int root, const std::string& path, unsigned flags) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC | flags;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

std::string link_text(const std::string& path) {
  char text[PATH_MAX];
  ssize_t n = ::readlink(path.c_str(), text, sizeof text);
  return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : std::string();
}

/// Where an O_PATH descriptor is, from the root of its own mount namespace.
std::string place_of(const UniqueFd& fd) {
  constexpr std::string_view kUnlinked = " (deleted)";
  std::string place = link_text(fmt::format("/proc/self/fd/{}", fd.get()));
  struct stat status {};
  // The cover of what is hidden has no name of its own (apply_mask), and lies where it is mounted.
  if (place.ends_with(kUnlinked) && ::fstat(fd.get(), &status) == 0 && status.st_nlink == 0)
    place.resize(place.size() - kUnlinked.size());
  return place;
}

}  // namespace

std::string Task::memory(std::uint64_t address, std::size_t size) const {
  std::string out(size, '\0');
  iovec ours{out.data(), size};
  iovec theirs{reinterpret_cast<void*>(address), size};
  ssize_t n = ::process_vm_readv(pid_, &ours, 1, &theirs, 1, 0);
  out.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return out;
}

std::optional<std::string> Task::text(std::uint64_t address) const {
  std::string out;
  // To the end of a page at a time: what follows may not be mapped. Paths are short.
  while (out.size() < PATH_MAX) {
    const std::size_t to_page_end = kPage - (address + out.size()) % kPage;
    const std::size_t step = std::min(to_page_end, out.empty() ? std::size_t{256} : kPage);
    std::string part = memory(address + out.size(), step);
    if (part.empty()) return std::nullopt;
    const std::size_t end = part.find('\0');
    out.append(part, 0, end);
    if (end != part.npos) return out;
    if (part.size() < step) return std::nullopt;
  }
  return std::nullopt;
}

std::string Task::link(const std::string& name) const {
  return link_text(fmt::format("/proc/{}/{}", pid_, name));
}

std::string Task::exe() const { return link("exe"); }

std::string Task::comm() const {
  auto text = read_file(fmt::format("/proc/{}/comm", pid_), 64);
  if (!text) return {};
  if (text->ends_with('\n')) text->pop_back();
  return *text;
}

std::string Task::absolute(int directory, std::string_view path) const {
  if (path.starts_with('/')) return std::string(path);
  std::string base = link(directory == AT_FDCWD ? "cwd" : fmt::format("fd/{}", directory));
  // A directory that was removed, or no directory.
  if (!base.starts_with('/')) return {};
  return path_join(base, path);
}

bool Task::base(int directory, std::string& path, std::uint64_t& device,
                std::uint64_t& inode) const {
  const std::string name =
      directory == AT_FDCWD ? std::string("cwd") : fmt::format("fd/{}", directory);
  struct stat status {};
  path = link(name);
  if (!path.starts_with('/') ||
      ::stat(fmt::format("/proc/{}/{}", pid_, name).c_str(), &status) != 0)
    return false;
  device = status.st_dev;
  inode = status.st_ino;
  return true;
}

bool Task::sees(std::string_view path) const {
  const UniqueFd root = open_root();
  return root.valid() && open_inside(root.get(), std::string(path), O_NOFOLLOW).valid();
}

UniqueFd Task::open_root() const {
  return UniqueFd(
      ::open(fmt::format("/proc/{}/root", pid_).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

std::string Task::resolve(const std::string& path, bool follow) const {
  const UniqueFd root = open_root();
  if (root.valid()) {
    if (UniqueFd fd = open_inside(root.get(), path, follow ? 0 : O_NOFOLLOW); fd.valid()) {
      if (std::string place = place_of(fd); place.starts_with('/')) return place;
    }
    UniqueFd parent = open_inside(root.get(), path_parent(path), O_DIRECTORY);
    if (parent.valid()) {
      if (std::string place = place_of(parent); place.starts_with('/'))
        return path_normalize(path_join(place, path_name(path)));
    }
  }
  return path_normalize(path);
}

}  // namespace dirbox::supervise
