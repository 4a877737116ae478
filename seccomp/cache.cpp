#include "seccomp/cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "launcher/base/file.h"
#include "launcher/base/unique_fd.h"

namespace dirbox::seccomp {
namespace {

constexpr std::string_view kMagic = "dirboxf1";
constexpr std::size_t kHex = 64;  // digits of a SHA-256
constexpr std::size_t kHeader = kMagic.size() + kHex + kHex + 4 + 4;
constexpr std::size_t kMaxFile = kHeader + BPF_MAXINSNS * sizeof(sock_filter);
constexpr std::uint32_t kNotifies = 1;

void put_u32(std::string& out, std::uint32_t value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Empty when `fd` is the caller's alone to write; else why not.
std::string distrust(int fd, mode_t type) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return "fstat: " + errno_name(errno);
  if ((st.st_mode & S_IFMT) != type) return "not of the right type";
  if (st.st_uid != ::geteuid()) return fmt::format("belongs to uid {}", st.st_uid);
  if ((st.st_mode & 022) != 0)
    return fmt::format("mode {:04o}: others can write", st.st_mode & 07777);
  return {};
}

Result<UniqueFd> open_directory(const std::string& path) {
  auto open_it = [&] {
    return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  };
  UniqueFd fd = open_it();
  if (!fd.valid() && errno == ENOENT) {
    TRY_VOID(make_directories(path));
    fd = open_it();
  }
  if (!fd.valid()) return fail_errno("open", path);
  if (std::string why = distrust(fd.get(), S_IFDIR); !why.empty())
    return fail("use cache directory", path, why);
  return fd;
}

Result<Filter> load(int directory, const std::string& name, std::string_view key) {
  // O_NONBLOCK: a FIFO in the file's place is opened, seen and left.
  UniqueFd fd(
      ::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return fail_errno("open", name);
  if (std::string why = distrust(fd.get(), S_IFREG); !why.empty())
    return fail("use cached filter", name, why);
  std::string bytes = TRY(read_fd(fd.get(), kMaxFile, name));
  return parse_cache_file(std::as_bytes(std::span(bytes)), key);
}

Result<void> store(int directory, const std::string& name, std::string_view bytes) {
  std::string temporary = fmt::format("{}.{}.tmp", name, ::getpid());
  auto create = [&] {
    return UniqueFd(::openat(directory, temporary.c_str(),
                             O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  };
  UniqueFd fd = create();
  if (!fd.valid() && errno == EEXIST && ::unlinkat(directory, temporary.c_str(), 0) == 0)
    fd = create();
  if (!fd.valid()) return fail_errno("create", temporary);
  auto written = write_all(fd.get(), bytes, temporary);
  if (written && ::renameat(directory, temporary.c_str(), directory, name.c_str()) == 0) return {};
  auto error = written ? fail_errno("rename", temporary) : Failure(written.error());
  ::unlinkat(directory, temporary.c_str(), 0);
  return error;
}

}  // namespace

std::string filter_key(const Policy& policy, Arch arch) {
  std::string text = generator_id();
  text += '\n';
  text += arch_name(arch);
  text += '\n';
  text += policy.canonical_text(arch);
  return sha256_hex(text);
}

Result<Filter> parse_cache_file(std::span<const std::byte> bytes, std::string_view key) {
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  auto bad = [&](std::string_view why) { return fail("read cached filter", key, why); };
  if (rest.size() < kHeader || rest.size() > kMaxFile) return bad("not of a filter's size");
  auto take = [&](std::size_t n) {
    std::string_view field = rest.substr(0, n);
    rest.remove_prefix(n);
    return field;
  };
  auto take_u32 = [&] {
    std::uint32_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  };
  if (take(kMagic.size()) != kMagic) return bad("another format");
  if (take(kHex) != key) return bad("made for another policy");
  std::string_view hash = take(kHex);
  if (sha256_hex(rest) != hash) return bad("damaged");
  std::uint32_t flags = take_u32();
  std::uint32_t length = take_u32();
  if ((flags & ~kNotifies) != 0) return bad("unknown flags");
  if (length != rest.size() || length == 0 || length % sizeof(sock_filter) != 0)
    return bad("wrong length");
  Filter filter;
  filter.program.resize(length / sizeof(sock_filter));
  std::memcpy(filter.program.data(), rest.data(), rest.size());
  filter.notifies = (flags & kNotifies) != 0;
  return filter;
}

std::string format_cache_file(const Filter& filter, std::string_view key) {
  std::string_view payload(reinterpret_cast<const char*>(filter.program.data()),
                           filter.program.size() * sizeof(sock_filter));
  std::string body;
  body.reserve(kHeader + payload.size());
  put_u32(body, filter.notifies ? kNotifies : 0);
  put_u32(body, static_cast<std::uint32_t>(payload.size()));
  body += payload;
  std::string out(kMagic);
  out += key;
  out += sha256_hex(body);
  out += body;
  return out;
}

Result<CachedFilter> cached_filter(const Policy& policy, const std::string& directory, Arch arch) {
  std::string key = filter_key(policy, arch);
  std::string name = key + ".bpf";
  CachedFilter out;
  auto fd = open_directory(directory);
  if (fd) {
    auto loaded = load(fd->get(), name, key);
    if (loaded && loaded->notifies == policy.notifies()) {
      out.filter = std::move(*loaded);
      out.hit = true;
      return out;
    }
    if (!loaded && loaded.error().err != ENOENT) out.note = loaded.error().message();
  } else {
    out.note = fd.error().message();
  }
  out.filter = TRY(compile_filter(policy, arch));
  if (fd) {
    auto stored = store(fd->get(), name, format_cache_file(out.filter, key));
    if (!stored) out.note = stored.error().message();
  }
  return out;
}

}  // namespace dirbox::seccomp
