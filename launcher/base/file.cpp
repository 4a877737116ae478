#include "launcher/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sha2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "launcher/base/path.h"

namespace dirbox {

Result<std::string> read_fd(int fd, std::size_t max_bytes, std::string_view operand) {
  std::string out;
  struct stat st {};
  const bool regular = ::fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
  if (regular) {
    // What the file claims to hold is not reserved before it is bounded: it may be sparse and huge.
    const auto size = static_cast<std::size_t>(st.st_size);
    if (size > max_bytes)
      return fail("read", operand, fmt::format("larger than {} bytes", max_bytes));
    out.reserve(size + 1);
  }
  for (;;) {
    std::size_t have = out.size();
    std::size_t room = out.capacity() > have ? out.capacity() - have : 4096;
    out.resize(have + room);
    ssize_t n = ::read(fd, out.data() + have, room);
    if (n < 0 && errno != EINTR) return fail_errno("read", operand);
    out.resize(have + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (out.size() > max_bytes)
      return fail("read", operand, fmt::format("larger than {} bytes", max_bytes));
    // A regular file gives less than asked for only at its end; those of proc(5) claim to be empty.
    if (n == 0 || (n > 0 && regular && st.st_size > 0 && static_cast<std::size_t>(n) < room))
      return out;
  }
}

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return fail_errno("open", path);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return fail_errno("stat", path);
  if (!S_ISREG(st.st_mode)) return fail("read", path, "not a regular file");
  return read_fd(fd.get(), max_bytes, path);
}

Result<void> write_all(int fd, std::string_view bytes, std::string_view operand) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("write", operand);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<UniqueFd> make_sealed_file(const char* name, std::string_view bytes) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return fail_errno("make a memory file", name);
  TRY_VOID(write_all(fd.get(), bytes, name));
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return fail_errno("seal a memory file", name);
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno("rewind a memory file", name);
  return fd;
}

Result<void> replace_file(const std::string& path, std::string_view bytes, unsigned mode) {
  std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  UniqueFd fd(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd.valid() && errno == EEXIST && ::unlink(temporary.c_str()) == 0) {
    fd.reset(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  }
  if (!fd.valid()) return fail_errno("create", temporary);
  auto written = write_all(fd.get(), bytes, temporary);
  if (written && ::rename(temporary.c_str(), path.c_str()) == 0) return {};
  auto error = written ? fail_errno("rename", temporary) : Failure(written.error());
  ::unlink(temporary.c_str());
  return error;
}

Result<void> make_directories(const std::string& path, unsigned mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  if (errno != ENOENT) return fail_errno("create directory", path);
  TRY_VOID(make_directories(path_parent(path), mode));
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return fail_errno("create directory", path);
  return {};
}

void for_each_entry(int directory, const std::function<bool(const char*, unsigned char)>& each) {
  if (::lseek(directory, 0, SEEK_SET) != 0) return;
  alignas(dirent64) char buffer[32 << 10];
  for (ssize_t size; (size = ::getdents64(directory, buffer, sizeof buffer)) > 0;) {
    for (ssize_t at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name != "." && name != ".." && !each(entry->d_name, entry->d_type)) return;
    }
  }
}

std::string sha256_hex(std::string_view bytes) {
  char hex[SHA256_DIGEST_STRING_LENGTH];
  SHA256Data(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), hex);
  return hex;
}

}  // namespace dirbox
