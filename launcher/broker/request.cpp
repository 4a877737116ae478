#include "launcher/broker/request.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace dirbox::broker {
namespace {

constexpr std::string_view kDoing = "check a broker request";

Result<struct statx> look_at(int fd) {
  struct statx out {};
  // DONT_SYNC: a network or FUSE file system answers from memory, or not at all.
  if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &out) != 0) {
    return fail_errno(kDoing, "statx");
  }
  return out;
}

Result<void> check_stdio(int number, int fd) {
  std::string which = "descriptor " + std::to_string(number);
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return fail_errno(kDoing, which);
  if ((flags & O_PATH) != 0) return fail(kDoing, which, "opened with O_PATH");
  mode_t type = TRY(look_at(fd)).stx_mode & S_IFMT;
  if (type != S_IFCHR && type != S_IFIFO && type != S_IFREG && type != S_IFSOCK) {
    return fail(kDoing, which, "neither a file, a terminal, a pipe nor a socket");
  }
  return {};
}

/// Numbers 0-2 are free only in a launcher that was started without them; the child's dup2 calls
/// rely on none of its sources being among them.
Result<void> move_out_of_stdio(UniqueFd& fd) {
  if (fd.get() > 2) return {};
  UniqueFd moved(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!moved.valid()) return fail_errno(kDoing, "fcntl");
  fd = std::move(moved);
  return {};
}

}  // namespace

Result<Received> take_request(Message message) {
  Packet packet = TRY(parse_packet(message.bytes));
  if (packet.type != wire::Type::exec) return fail(kDoing, "", "not an EXEC message");
  bool in_memfd = (packet.a & wire::kBodyInMemfd) != 0;
  if (message.fds.size() != (in_memfd ? 5u : 4u)) {
    return fail(kDoing, "", "the wrong number of descriptors");
  }
  if (packet.b != packet.rest.size() && !in_memfd) {
    return fail(kDoing, "", "the wrong number of bytes");
  }
  Received out;
  for (int i = 0; i < 3; ++i) {
    out.stdio[i] = std::move(message.fds[static_cast<std::size_t>(i)]);
    TRY_VOID(check_stdio(i, out.stdio[i].get()));
    TRY_VOID(move_out_of_stdio(out.stdio[i]));
  }
  out.cwd = std::move(message.fds[3]);
  std::uint32_t flags = packet.a;
  if (in_memfd) {
    if (!packet.rest.empty()) return fail(kDoing, "", "a body in two places");
    out.storage = TRY(read_sealed(message.fds[4].get(), packet.b));
    out.request = TRY(parse_exec(flags, out.storage));
  } else {
    out.storage = std::move(message.bytes);
    out.request = TRY(
        parse_exec(flags, std::span<const std::byte>(out.storage).subspan(sizeof(wire::Header))));
  }
  return out;
}

Result<UniqueFd> open_same_directory(const std::string& path, int seen_inside) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  if (!fd.valid()) return fail_errno("open the working directory", path);
  struct statx ours = TRY(look_at(fd.get()));
  struct statx theirs = TRY(look_at(seen_inside));
  if (ours.stx_dev_major != theirs.stx_dev_major || ours.stx_dev_minor != theirs.stx_dev_minor ||
      ours.stx_ino != theirs.stx_ino) {
    return fail("open the working directory", path,
                "the sandbox is in another directory of that name");
  }
  TRY_VOID(move_out_of_stdio(fd));
  return fd;
}

}  // namespace dirbox::broker
