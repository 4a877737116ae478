#include "launcher/plan/install_tree.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "launcher/base/path.h"
#include "launcher/base/text.h"

namespace dirbox::plan {
namespace {

/// Version managers and runtimes with a directory of their own under the home, by what a program
/// found beneath it needs. Cargo is not among them: ~/.cargo holds credentials.
constexpr std::string_view kManagers[] = {
    ".pyenv",
    ".rbenv",
    ".nodenv",
    ".goenv",
    ".asdf",
    ".volta",
    ".bun",
    ".deno",
    ".sdkman",
    ".rustup",
    ".local/share/mise",
    ".local/share/fnm",
    ".local/share/pnpm",
    ".local/share/uv/python",
    ".local/share/uv/tools",
    ".local/share/rtx",
    ".nvm/versions",
    ".fnm",
    ".local/opt",
    ".local/lib",
};

/// A file or directory that marks the top of an installation: venv, conda, Go, JDK.
constexpr std::string_view kMarkers[] = {"pyvenv.cfg", "conda-meta", "pkg/tool", "release"};

/// Directories that are never taken as an install tree: they hold too much.
bool is_too_wide(const std::string& path, const std::string& home) {
  constexpr std::string_view kWide[] = {".local", ".local/share", ".config",
                                        ".cache", ".nvm",         ".cargo"};
  if (path_is_beneath(home, path)) return true;
  for (std::string_view wide : kWide) {
    if (path == path_join(home, wide)) return true;
  }
  return false;
}

bool exists(Resolver& resolver, const std::string& path) {
  return resolver.resolve(path).stat.type != FileType::missing;
}

/// What a version manager keeps together with `file`; nothing when none of them has it.
std::vector<std::string> managed_around(const std::string& file, const std::string& home) {
  for (std::string_view manager : kManagers) {
    std::string root = path_join(home, manager);
    if (path_is_beneath(file, root)) return {root};
  }
  if (path_is_beneath(file, path_join(home, ".cargo/bin"))) {
    return {path_join(home, ".cargo/bin"), path_join(home, ".rustup")};
  }
  return {};
}

/// A directory in which somebody works holds more than a program: its .env, for one.
bool is_work_tree(Resolver& resolver, const std::string& directory) {
  return exists(resolver, path_join(directory, ".git")) ||
         exists(resolver, path_join(directory, ".env"));
}

/// What `file` (without symlinks) needs around it.
std::vector<std::string> needed_around(Resolver& resolver, const std::string& file,
                                       const std::string& home) {
  if (auto managed = managed_around(file, home); !managed.empty()) return managed;
  if (std::size_t at = file.find("/node_modules/"); at != std::string::npos) {
    return {file.substr(0, at) + "/node_modules"};
  }
  std::string directory = path_parent(file);
  std::string prefix = path_parent(directory);
  if (path_name(directory) == "bin" || path_name(directory) == "libexec") {
    for (std::string_view marker : kMarkers) {
      if (!is_too_wide(prefix, home) && exists(resolver, path_join(prefix, marker)))
        return {prefix};
    }
    std::vector<std::string> parts{directory};
    if (!is_too_wide(prefix, home)) {
      for (const char* name : {"/lib", "/lib64", "/libexec", "/share"})
        parts.push_back(prefix + name);
    }
    return parts;
  }
  // World-writable with the sticky bit: /tmp and its like.
  const bool shared = (resolver.resolve(directory).stat.mode & S_ISVTX) != 0;
  if (shared || is_too_wide(directory, home) || is_work_tree(resolver, directory)) return {file};
  return {directory};
}

/// The interpreter of a `#!` line, looked up the way execve(2) and env(1) would.
std::string find_interpreter(Resolver& resolver, const std::string& file,
                             std::string_view search_path) {
  std::string head = resolver.files().head(file, 256);
  if (!head.starts_with("#!")) return {};
  std::string_view line = std::string_view(head).substr(2);
  line = line.substr(0, line.find('\n'));
  std::vector<std::string> words;
  while (!line.empty()) {
    std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) break;
    std::size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
    words.emplace_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
  if (words.empty() || words[0].front() != '/') return {};
  if (path_name(words[0]) != "env") return words[0];
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i].starts_with("-") || words[i].find('=') != std::string::npos) continue;
    bool not_executable = false;
    return find_program(resolver, words[i], search_path, "/", not_executable);
  }
  return {};
}

/// `trusted`: the path was chosen outside, not by a symlink or a "#!" line that a sandbox may have
/// written. What such a one leads to is granted only where a version manager keeps programs.
void grant_tree(RuleSet& rules, Resolver& resolver, const std::string& path,
                std::string_view search_path, const std::string& home, bool trusted, int depth) {
  constexpr int kMaxInterpreters = 4;
  Resolver::Resolution found = resolver.resolve(path);
  if (found.stat.type == FileType::missing || depth > kMaxInterpreters) return;
  trusted = trusted && rules.planted_hop(found) == nullptr;
  if (rules.decide(found.path) == nullptr) {
    const std::string real_home = resolver.resolve(home).path;
    const std::string why = fmt::format("install tree of {}", escape_for_terminal(path_name(path)));
    const std::vector<std::string> parts = trusted ? needed_around(resolver, found.path, real_home)
                                                   : managed_around(found.path, real_home);
    if (parts.empty()) {
      rules.warn_of_planted(path, found.path);
      return;
    }
    for (const std::string& part : parts) {
      if (!rules.add_found(part, why) && rules.decide(found.path) == nullptr) {
        rules.add_found(found.path, why);
      }
    }
  }
  rules.keep_links(found);
  if (found.stat.type != FileType::regular) return;
  trusted = trusted && !rules.is_within_writable(found.path);
  std::string interpreter = find_interpreter(resolver, found.path, search_path);
  if (!interpreter.empty())
    grant_tree(rules, resolver, interpreter, search_path, home, trusted, depth + 1);
}

template <class Visit>
void for_each_directory(std::string_view search_path, Visit visit) {
  while (!search_path.empty()) {
    std::size_t end = std::min(search_path.find(':'), search_path.size());
    std::string_view directory = search_path.substr(0, end);
    search_path.remove_prefix(std::min(end + 1, search_path.size()));
    if (!directory.empty() && directory.front() == '/' && visit(std::string(directory))) return;
  }
}

}  // namespace

std::string find_program(Resolver& resolver, const std::string& name, std::string_view search_path,
                         const std::string& cwd, bool& found_not_executable) {
  std::string program;
  auto try_file = [&](const std::string& path) {
    Resolver::Resolution found = resolver.resolve(path);
    if (found.stat.type != FileType::regular) return false;
    if ((found.stat.mode & 0111) == 0) {
      found_not_executable = true;
      return false;
    }
    program = path;
    return true;
  };
  if (name.find('/') != std::string::npos) {
    std::string path = path_join(cwd, name);
    // execve(2) on what exists and is no program: EACCES, where PATH would be searched further.
    if (!try_file(path))
      found_not_executable |= resolver.resolve(path).stat.type != FileType::missing;
  } else if (!name.empty()) {
    for_each_directory(search_path,
                       [&](const std::string& d) { return try_file(path_join(d, name)); });
  }
  return program;
}

void grant_install_tree(RuleSet& rules, Resolver& resolver, const std::string& path,
                        std::string_view search_path, const std::string& home) {
  grant_tree(rules, resolver, path, search_path, home, true, 0);
}

void grant_path_directories(RuleSet& rules, Resolver& resolver, std::string_view search_path,
                            const std::string& home) {
  constexpr std::size_t kMaxLinks = 256;  // per directory: a bound on what a start looks at
  std::string real_home = resolver.resolve(home).path;
  for_each_directory(search_path, [&](const std::string& directory) {
    Resolver::Resolution found = resolver.resolve(directory);
    if (found.stat.type != FileType::directory || !path_is_beneath(found.path, real_home) ||
        found.path == real_home || rules.planted_hop(found) != nullptr) {
      return false;
    }
    const PathRule* rule = rules.decide(found.path);
    if (rule != nullptr && rule->access != PathAccess::hide) {
      rules.keep_links(found);
      return false;
    }
    if (!rules.add_found(directory, "directory of PATH")) return false;
    // What its programs need: the rest of the venv, the toolchain, the prefix.
    for (const std::string& part :
         needed_around(resolver, path_join(found.path, "program"), real_home)) {
      rules.add_found(part, "install tree of a directory of PATH");
    }
    std::size_t links = 0;
    for (const Child& child : resolver.files().list(found.path)) {
      if (child.type != FileType::symlink || ++links > kMaxLinks) continue;
      const std::string program = path_join(found.path, child.name);
      const FileStat target = resolver.resolve(program).stat;
      // A note is no program, and a directory, though it has the bits, is not: what is around it
      // would be its parent.
      if (target.type != FileType::regular || (target.mode & 0111) == 0) continue;
      grant_tree(rules, resolver, program, search_path, home, true, 0);
    }
    return false;
  });
}

}  // namespace dirbox::plan
