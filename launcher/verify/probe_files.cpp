#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/unique_fd.h"
#include "launcher/verify/probe.h"

namespace dirbox::verify {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

/// Names in a directory, except those that may be there.
Outcome reveal_directory(int fd, const Words& words) {
  Directory directory(::fdopendir(fd));
  if (!directory) {
    int err = errno;
    ::close(fd);
    return refused(err);
  }
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (std::find(words.begin() + 1, words.end(), name) == words.end()) return succeeded(name);
  }
  return refused(errno != 0 ? errno : ENOENT, "empty");
}

/// PATH [NAME…]: opens a file for reading, finds a name in a directory that is none of NAME.
Outcome verb_reveal(const Words& words) {
  UniqueFd fd(::open(word_at(words, 0).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) return refused(errno);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return refused(errno);
  return S_ISDIR(st.st_mode) ? reveal_directory(fd.release(), words) : succeeded();
}

/// PATH: the text of a file of at most 64 KiB.
Outcome verb_text(const Words& words) {
  UniqueFd fd(::open(word_at(words, 0).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return refused(errno);
  auto text = read_fd(fd.get(), 64 << 10, word_at(words, 0));
  return text ? succeeded(*text) : refused(text.error().err);
}

/// PATH TEXT: makes a file that was not there.
Outcome verb_create(const Words& words) {
  UniqueFd fd(::open(word_at(words, 0).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return refused(errno);
  auto written = write_all(fd.get(), word_at(words, 1), word_at(words, 0));
  return written ? succeeded() : refused(written.error().err);
}

Outcome verb_remove(const Words& words) { return from_call(::unlink(word_at(words, 0).c_str())); }

/// PATH [FLAGS]: opens, O_WRONLY without FLAGS; changes nothing.
Outcome verb_open(const Words& words) {
  int flags = words.size() > 1 ? static_cast<int>(number(words[1])) : O_WRONLY;
  UniqueFd fd(::open(word_at(words, 0).c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  return fd.valid() ? succeeded() : refused(errno);
}

Outcome verb_writable(const Words& words) {
  return from_call(::access(word_at(words, 0).c_str(), W_OK));
}

Outcome verb_exists(const Words& words) {
  struct stat st {};
  return from_call(::lstat(word_at(words, 0).c_str(), &st));
}

Outcome verb_readlink(const Words& words) {
  char target[4096];
  ssize_t n = ::readlink(word_at(words, 0).c_str(), target, sizeof target);
  return n < 0 ? refused(errno) : succeeded(std::string(target, static_cast<std::size_t>(n)));
}

Outcome verb_cwd(const Words&) {
  char path[4096];
  return ::getcwd(path, sizeof path) == nullptr ? refused(errno) : succeeded(path);
}

/// Looks for `text` in the file `name` of every process.
Outcome scan_processes(const char* name, const std::string& text) {
  Directory proc(::opendir("/proc"));
  if (!proc) return refused(errno);
  bool any = false;
  while (const dirent* entry = ::readdir(proc.get())) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    UniqueFd fd(
        ::open(("/proc/" + std::string(entry->d_name) + "/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) continue;
    auto found = read_fd(fd.get(), 4 << 20, name);
    if (!found) continue;
    any = true;
    if (found->find(text) != std::string::npos)
      return succeeded("in process " + std::string(entry->d_name));
  }
  return refused(any ? ENOENT : EACCES);
}

/// TEXT
Outcome verb_environ_scan(const Words& words) {
  return scan_processes("environ", word_at(words, 0));
}
Outcome verb_command_line_scan(const Words& words) {
  return scan_processes("cmdline", word_at(words, 0));
}

/// The names of the environment's variables, one in a line, behind a hash of all of it.
Outcome verb_environment(const Words&) {
  std::string names, all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    std::string_view text = *variable;
    names.append("\n").append(text.substr(0, text.find('=')));
    all.append(text).push_back('\0');
  }
  return succeeded(sha256_hex(all) + names);
}

/// NUMBER: a descriptor of this process.
Outcome verb_descriptor(const Words& words) {
  return verb_readlink({"/proc/self/fd/" + word_at(words, 0)});
}

/// A descriptor above 2 of this process that is a file: what pipes and the like connect is ours.
Outcome verb_descriptors(const Words&) {
  constexpr const char* kOwn = "/proc/self/fd";
  Directory directory(::opendir(kOwn));
  if (!directory) return refused(errno);
  while (const dirent* entry = ::readdir(directory.get())) {
    const int fd = std::atoi(entry->d_name);
    if (fd <= 2 || fd == ::dirfd(directory.get())) continue;
    const Outcome link = verb_readlink({path_join(kOwn, entry->d_name)});
    if (link.done() && link.detail.starts_with("/")) return link;
  }
  return refused(ENOENT);
}

constexpr Verb kVerbs[] = {
    {"reveal", verb_reveal},
    {"text", verb_text},
    {"create", verb_create},
    {"remove", verb_remove},
    {"open", verb_open},
    {"writable", verb_writable},
    {"exists", verb_exists},
    {"readlink", verb_readlink},
    {"cwd", verb_cwd},
    {"descriptor", verb_descriptor},
    {"descriptors", verb_descriptors},
    {"environ-scan", verb_environ_scan},
    {"environment", verb_environment},
    {"command-line-scan", verb_command_line_scan},
};

}  // namespace

std::span<const Verb> file_verbs() { return kVerbs; }

}  // namespace dirbox::verify
