#include "launcher/broker/pin.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "launcher/base/path.h"

/// Theory of operation. Where a name leads is decided by every directory that is looked into on the
/// way and by every symlink that is followed. walk() therefore resolves by hand, one component at a
/// time, and refuses as soon as one of them lies beneath a tree that the sandbox can write. The
/// answer stays true while the sandbox runs, because none of what it depends on can be changed from
/// inside; the file itself is held open and executed by descriptor.
namespace dirbox::broker {
namespace {

constexpr std::string_view kDoing = "pin the host command";
constexpr int kMaxSymlinks = 40;  // path_resolution(7)

bool is_writable_inside(std::string_view path, std::span<const std::string> roots) {
  return std::any_of(roots.begin(), roots.end(),
                     [&](const std::string& root) { return path_is_beneath(path, root); });
}

Failure planted(std::string_view name, std::string_view path) {
  return fail(kDoing, name, std::string(path) + " can be changed from inside the sandbox",
              "install the command outside the directories that the profile makes writable");
}

/// The real path of the absolute `path`.
Result<std::string> walk(std::string_view path, std::span<const std::string> roots) {
  std::vector<std::string> todo;
  auto push = [&todo](std::string_view p) {
    auto parts = path_components(p);
    for (auto it = parts.rbegin(); it != parts.rend(); ++it) todo.emplace_back(*it);
  };
  push(path);
  std::string done = "/";
  int links = 0;
  while (!todo.empty()) {
    std::string part = std::move(todo.back());
    todo.pop_back();
    if (part == "..") {
      done = path_parent(done);
      continue;
    }
    std::string next = path_join(done, part);
    if (is_writable_inside(next, roots)) return planted(path, next);
    char target[PATH_MAX];
    ssize_t n = ::readlink(next.c_str(), target, sizeof target);
    if (n < 0 && errno != EINVAL) return fail_errno(kDoing, next);
    if (n < 0) {  // not a symlink
      done = next;
      continue;
    }
    if (++links > kMaxSymlinks || n == sizeof target) return fail_errno(kDoing, next, ELOOP);
    std::string_view to(target, static_cast<std::size_t>(n));
    if (to.starts_with('/')) done = "/";
    push(to);
  }
  return done;
}

/// In a user namespace the files of users that it does not map, root's among them, all belong to
/// the overflow uid (user_namespaces(7)).
bool is_unmapped_root(uid_t uid) {
  constexpr uid_t kOverflow = 65534;  // /proc/sys/kernel/overflowuid, where nobody changed it
  if (uid != kOverflow) return false;
  UniqueFd file(::open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC));
  char text[256];
  const ssize_t n = file.valid() ? ::read(file.get(), text, sizeof text - 1) : -1;
  if (n <= 0) return false;
  text[n] = '\0';
  unsigned inside = 0, outside = 0, count = 0;
  const bool initial = std::sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 &&
                       inside == 0 && outside == 0 && count == ~0U;
  return !initial;
}

Result<PinnedFile> open_executable(const std::string& real) {
  UniqueFd fd(::open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid() && errno == EACCES) {
    fd.reset(::open(real.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
  }
  if (!fd.valid()) return fail_errno(kDoing, real);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return fail_errno(kDoing, real);
  if (!S_ISREG(st.st_mode)) return fail(kDoing, real, "not a regular file");
  if (st.st_uid != 0 && st.st_uid != ::geteuid() && !is_unmapped_root(st.st_uid)) {
    return fail(kDoing, real, "owned by neither root nor you");
  }
  if ((st.st_mode & S_IWOTH) != 0) return fail(kDoing, real, "writable for everyone");
  if (::faccessat(fd.get(), "", X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) {
    return fail_errno(kDoing, real);
  }
  return PinnedFile{std::move(fd), real};
}

/// The first line of a script after "#!"; empty for another kind of file.
Result<std::string> read_shebang(const PinnedFile& file) {
  char head[256];  // BINPRM_BUF_SIZE
  ssize_t n = ::pread(file.fd.get(), head, sizeof head, 0);
  if (n < 0 && errno == EBADF) return std::string();  // O_PATH: the kernel cannot tell us either
  if (n < 0) return fail_errno(kDoing, file.path);
  std::string_view text(head, static_cast<std::size_t>(n));
  if (!text.starts_with("#!")) return std::string();
  std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return fail(kDoing, file.path, "its #! line is too long");
  return std::string(text.substr(2, end - 2));
}

std::string_view trim(std::string_view text) {
  std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

Result<Interpreter> pin_interpreter(const std::string& shebang, const std::string& script,
                                    std::span<const std::string> roots) {
  std::string_view line = trim(shebang);
  std::size_t blank = line.find_first_of(" \t");
  std::string path(line.substr(0, blank));
  if (!path.starts_with('/')) {
    return fail(kDoing, script, "the interpreter of its #! line has no absolute path");
  }
  Interpreter out;
  std::string real = TRY(walk(path, roots));
  out.file = TRY(open_executable(real));
  if (!TRY(read_shebang(out.file)).empty()) {
    return fail(kDoing, script, "its interpreter " + path + " is a script, too");
  }
  // What the kernel would pass: the rest of the line as one argument.
  if (blank != std::string_view::npos) out.argument = std::string(trim(line.substr(blank)));
  return out;
}

std::vector<std::string> safe_entries(std::string_view host_path,
                                      std::span<const std::string> roots) {
  std::vector<std::string> out;
  while (!host_path.empty()) {
    std::size_t colon = host_path.find(':');
    std::string_view entry = host_path.substr(0, colon);
    host_path.remove_prefix(colon == std::string_view::npos ? host_path.size() : colon + 1);
    if (!entry.starts_with('/') || !walk(entry, roots)) continue;
    out.emplace_back(entry);
  }
  return out;
}

}  // namespace

std::string safe_path(std::string_view host_path, std::span<const std::string> writable_roots) {
  std::string out;
  for (const std::string& entry : safe_entries(host_path, writable_roots)) {
    out += (out.empty() ? "" : ":") + entry;
  }
  return out;
}

Result<Pinned> pin_command(std::string_view name, std::string_view host_path,
                           std::span<const std::string> writable_roots) {
  std::string found;
  if (name.starts_with('/')) {
    found = name;
  } else if (name.empty() || name.find('/') != std::string_view::npos) {
    return fail(kDoing, name, "a command is a name or an absolute path");
  } else {
    for (const std::string& entry : safe_entries(host_path, writable_roots)) {
      std::string candidate = path_join(entry, name);
      struct stat st {};
      if (::stat(candidate.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) continue;
      if (::access(candidate.c_str(), X_OK) != 0) continue;
      found = candidate;
      break;
    }
    if (found.empty()) {
      return fail_errno(kDoing, name, ENOENT,
                        "the command is in no directory of PATH outside the sandbox's own");
    }
  }
  Pinned out;
  out.name = path_name(found);
  std::string real = TRY(walk(found, writable_roots));
  out.file = TRY(open_executable(real));
  std::string shebang = TRY(read_shebang(out.file));
  if (!shebang.empty()) {
    out.interpreter = TRY(pin_interpreter(shebang, out.file.path, writable_roots));
  }
  return out;
}

}  // namespace dirbox::broker
