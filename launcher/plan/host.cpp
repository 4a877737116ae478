#include "launcher/plan/host.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <memory>
#include <unordered_set>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/unique_fd.h"
#include "launcher/sandbox/landlock.h"

namespace dirbox::plan {
namespace {

FileType type_of(mode_t mode) {
  if (S_ISREG(mode)) return FileType::regular;
  if (S_ISDIR(mode)) return FileType::directory;
  if (S_ISLNK(mode)) return FileType::symlink;
  if (S_ISSOCK(mode)) return FileType::socket;
  return FileType::other;
}

std::string unescape_octal(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string_view next_field(std::string_view& line) {
  std::size_t end = std::min(line.find(' '), line.size());
  std::string_view field = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return field;
}

std::string make_session_id() {
  unsigned char random[6];
  if (::getrandom(random, sizeof random, 0) != sizeof random) return {};
  std::string out;
  constexpr char kDigits[] = "0123456789abcdef";
  for (unsigned char byte : random) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

/// Names from /etc/passwd itself: getpwuid(3) would load NSS modules, which costs every start.
/// A user that only NSS knows (LDAP, systemd-homed) is looked up there.
void fill_user(HostFacts& facts) {
  if (auto text = read_file("/etc/passwd")) {
    std::string_view rest = *text;
    while (!rest.empty()) {
      std::size_t end = std::min(rest.find('\n'), rest.size());
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      std::vector<std::string_view> fields;
      while (fields.size() < 6) {
        std::size_t colon = std::min(line.find(':'), line.size());
        fields.push_back(line.substr(0, colon));
        line.remove_prefix(std::min(colon + 1, line.size()));
      }
      if (fields[2] != std::to_string(facts.uid)) continue;
      facts.user = fields[0];
      facts.home = fields[5];
      facts.shell = line;
      return;
    }
  }
  if (const passwd* entry = ::getpwuid(facts.uid)) {
    facts.user = entry->pw_name;
    facts.home = entry->pw_dir;
    facts.shell = entry->pw_shell;
  }
}

}  // namespace

FileStat HostFiles::stat(const std::string& path) const {
  struct stat st {};
  FileStat out;
  if (::lstat(path.c_str(), &st) != 0) {
    out.err = errno;
    return out;
  }
  out.type = type_of(st.st_mode);
  out.id = {st.st_dev, st.st_ino};
  out.mode = st.st_mode;
  out.links = st.st_nlink;
  out.size = static_cast<std::uint64_t>(st.st_size);
  return out;
}

std::string HostFiles::link_text(const std::string& path) const {
  char text[PATH_MAX];
  ssize_t n = ::readlink(path.c_str(), text, sizeof text);
  return n < 0 ? std::string() : std::string(text, static_cast<std::size_t>(n));
}

std::vector<Child> HostFiles::list(const std::string& directory, int& err) const {
  std::vector<Child> children;
  err = 0;
  UniqueFd dir(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
  if (!dir.valid()) {
    const int why = errno;
    struct stat st {};
    // Its owner can change the mode; whoever may pass through it can name what is in it.
    const bool reached = ::lstat(directory.c_str(), &st) == 0 &&
                         (st.st_uid == ::geteuid() || ::access(directory.c_str(), X_OK) == 0);
    if (reached) err = why;
    return children;
  }
  for_each_entry(dir.get(), [&](const char* name, unsigned char kind) {
    children.push_back({name, kind == DT_UNKNOWN ? stat(path_join(directory, name)).type
                                                 : type_of(static_cast<mode_t>(DTTOIF(kind)))});
    return true;
  });
  return children;
}

std::string HostFiles::head(const std::string& path, std::size_t limit) const {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat st {};
  if (!fd.valid() || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  std::string text(limit, '\0');
  ssize_t n = ::pread(fd.get(), text.data(), limit, 0);
  text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  return text;
}

std::string_view HostFacts::variable(std::string_view name) const {
  for (const auto& [key, value] : environment) {
    if (key == name) return value;
  }
  return {};
}

std::vector<MountPoint> parse_mountinfo(std::string_view text) {
  std::vector<MountPoint> mounts;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    next_field(line);
    next_field(line);
    MountPoint mount;
    mount.device = next_field(line);
    mount.root = unescape_octal(next_field(line));
    mount.point = unescape_octal(next_field(line));
    // Options and optional fields, up to a lone "-"; then the type.
    while (!line.empty() && next_field(line) != "-") {
    }
    mount.type = next_field(line);
    if (!mount.point.empty()) mounts.push_back(std::move(mount));
  }
  return mounts;
}

Result<HostFacts> gather_facts(const FileView& files, char** environment) {
  HostFacts facts;
  facts.files = &files;
  facts.uid = ::geteuid();
  facts.gid = ::getegid();
  std::unordered_set<std::string_view> names;
  for (char** entry = environment; *entry != nullptr; ++entry) {
    std::string_view text = *entry;
    std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    // Of two with the same name the first one counts, as for getenv(3).
    if (!names.insert(text.substr(0, equals)).second) continue;
    facts.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  fill_user(facts);
  if (facts.user.empty()) facts.user = std::to_string(facts.uid);
  facts.group = facts.user;
  if (facts.home.starts_with('/')) facts.account_home = path_normalize(facts.home);
  if (auto home = facts.variable("HOME"); !home.empty()) facts.home = home;
  if (facts.home.empty() || facts.home.front() != '/') {
    return fail("find the home directory", facts.home, "HOME is not an absolute path");
  }
  facts.home = path_normalize(facts.home);
  char self[PATH_MAX];
  if (const ssize_t n = ::readlink("/proc/self/exe", self, sizeof self); n > 0)
    facts.self.assign(self, static_cast<std::size_t>(n));
  char cwd[PATH_MAX];
  if (::getcwd(cwd, sizeof cwd) == nullptr) return fail_errno("find the working directory", "");
  if (cwd[0] != '/') return fail("find the working directory", cwd, "not reachable from the root");
  facts.cwd = cwd;
  struct stat st {};
  if (::stat(".", &st) != 0) return fail_errno("stat the working directory", cwd);
  facts.cwd_id = {st.st_dev, st.st_ino};
  facts.session = make_session_id();
  if (facts.session.empty()) return fail_errno("make a session id", "");
  facts.mounts = parse_mountinfo(TRY(read_file("/proc/self/mountinfo", 16 << 20)));
  if (auto abi = sandbox::check_landlock_abi()) facts.landlock_abi = *abi;
  return facts;
}

}  // namespace dirbox::plan
