#include "launcher/plan/install_tree.h"

#include <fmt/format.h>

#include "launcher/base/path.h"

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
    ".local/share/uv",
    ".local/share/rtx",
    ".nvm/versions",
    ".fnm",
    ".local/opt",
    ".local/lib",
};

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

/// What `file` (without symlinks, under the home) needs around it.
std::vector<std::string> needed_around(Resolver& resolver, const std::string& file,
                                       const std::string& home) {
  for (std::string_view manager : kManagers) {
    std::string root = path_join(home, manager);
    if (path_is_beneath(file, root)) return {root};
  }
  if (path_is_beneath(file, path_join(home, ".cargo/bin"))) {
    return {path_join(home, ".cargo/bin"), path_join(home, ".rustup")};
  }
  if (std::size_t at = file.find("/node_modules/"); at != std::string::npos) {
    return {file.substr(0, at) + "/node_modules"};
  }
  std::string directory = path_parent(file);
  std::string prefix = path_parent(directory);
  if (path_name(directory) == "bin" || path_name(directory) == "libexec") {
    if (exists(resolver, prefix + "/pyvenv.cfg")) return {prefix};
    std::vector<std::string> parts{directory};
    if (!is_too_wide(prefix, home)) {
      for (const char* name : {"/lib", "/lib64", "/libexec", "/share"})
        parts.push_back(prefix + name);
    }
    return parts;
  }
  if (is_too_wide(directory, home)) return {file};
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
  if (words.empty()) return {};
  if (path_name(words[0]) != "env") return words[0];
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i].starts_with("-") || words[i].find('=') != std::string::npos) continue;
    bool not_executable = false;
    return find_program(resolver, words[i], search_path, "/", not_executable);
  }
  return {};
}

void grant_tree(RuleSet& rules, Resolver& resolver, const std::string& path,
                std::string_view search_path, const std::string& home, int depth) {
  constexpr int kMaxInterpreters = 4;
  Resolver::Resolution found = resolver.resolve(path);
  if (found.stat.type == FileType::missing || depth > kMaxInterpreters) return;
  rules.keep_links(found);
  std::string real_home = resolver.resolve(home).path;
  if (path_is_beneath(found.path, real_home) && rules.decide(found.path) == nullptr) {
    std::string why = fmt::format("install tree of {}", path_name(path));
    for (const std::string& part : needed_around(resolver, found.path, real_home)) {
      if (!rules.add_found(part, why) && rules.decide(found.path) == nullptr) {
        rules.add_found(found.path, why);
      }
    }
  } else if (rules.decide(found.path) == nullptr) {
    rules.add_found(path_parent(found.path), fmt::format("install tree of {}", path_name(path)));
  }
  std::string interpreter = find_interpreter(resolver, found.path, search_path);
  if (!interpreter.empty()) grant_tree(rules, resolver, interpreter, search_path, home, depth + 1);
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
  grant_tree(rules, resolver, path, search_path, home, 0);
}

void grant_path_directories(RuleSet& rules, Resolver& resolver, std::string_view search_path,
                            const std::string& home) {
  constexpr std::size_t kMaxLinks = 256;  // per directory: a bound on what a start looks at
  std::string real_home = resolver.resolve(home).path;
  for_each_directory(search_path, [&](const std::string& directory) {
    Resolver::Resolution found = resolver.resolve(directory);
    if (found.stat.type != FileType::directory || !path_is_beneath(found.path, real_home) ||
        found.path == real_home) {
      return false;
    }
    const PathRule* rule = rules.decide(found.path);
    if (rule != nullptr && rule->access != PathAccess::hide) {
      rules.keep_links(found);
      return false;
    }
    if (!rules.add_found(directory, "directory of PATH")) return false;
    std::size_t links = 0;
    for (const Child& child : resolver.files().list(found.path)) {
      if (child.type != FileType::symlink || ++links > kMaxLinks) continue;
      grant_tree(rules, resolver, path_join(found.path, child.name), search_path, home, 0);
    }
    return false;
  });
}

}  // namespace dirbox::plan
