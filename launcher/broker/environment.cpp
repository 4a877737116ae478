#include "launcher/broker/environment.h"

#include <algorithm>

namespace dirbox::broker {
namespace {

/// Names that the sandbox never sets, by `*` patterns.
constexpr std::string_view kRefused[] = {
    // the dynamic linker and the C library
    "LD_*",
    "GLIBC_*",
    "MALLOC_*",
    "GCONV_PATH",
    "LOCPATH",
    "NLSPATH",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    "HOSTALIASES",
    "TZDIR",
    // shells
    "PATH",
    "HOME",
    "SHELL",
    "ENV",
    "BASH*",
    "IFS",
    "CDPATH",
    "PS4",
    "SHELLOPTS",
    "PROMPT_COMMAND",
    "ZDOTDIR",
    "PWD",
    "OLDPWD",
    "USER",
    "LOGNAME",
    // interpreters
    "PYTHON*",
    "NODE_*",
    "NPM_*",
    "PERL*",
    "RUBY*",
    "GEM_*",
    "BUNDLE_*",
    "LUA*",
    "PHP*",
    "CLASSPATH",
    "JAVA*",
    "JDK_*",
    "*_OPTIONS",
    "*_OPTS",
    "GO*",
    "CARGO*",
    "RUST*",
    "MAKE*",
    "DOTNET_*",
    // programs that start others, and where they find configuration
    "EDITOR",
    "VISUAL",
    "*EDITOR",
    "*PAGER",
    "LESS*",
    "BROWSER",
    "*_ASKPASS",
    "*_COMMAND",
    "*_CONFIG",
    "*CONFIG",
    "*_CONFIG_*",
    "XDG_*",
    "GIT_*",
    "SSH_*",
    "GPG*",
    "GNUPG*",
    "SUDO_*",
    "DBUS_*",
    "TMPDIR",
    "TEMP",
    "TMP",
    "TERMINFO*",
    "TERMCAP",
    "INPUTRC",
    "*_HOME",
    // which server to talk to, and by whom
    "DOCKER_*",
    "COMPOSE_*",
    "BUILDKIT_*",
    "BUILDX_*",
    "CONTAINER*",
    "TMUX*",
    "KUBE*",
    "*_PROXY",
    "*_proxy",
    "SSL_*",
    "CURL_*",
    "AWS_*",
    "GH_*",
    "GITHUB_*",
    "DIRBOX*",
};

/// Variables that pass without being listed, with what their value must look like: they choose file
/// names in terminfo and in the locale directories.
struct Harmless {
  std::string_view name;
  std::string_view characters;  ///< besides letters and digits
  std::size_t max_length;
};
constexpr Harmless kHarmless[] = {
    {"TERM", "+-._", 64}, {"COLUMNS", "", 5},   {"LINES", "", 5},
    {"LANG", "-._@", 64}, {"LC_*", "-._@", 64}, {"NO_COLOR", "-._", 16},
};

/// From the launcher's own environment.
constexpr std::string_view kFromHost[] = {
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "TMUX_TMPDIR",
    "SSH_AUTH_SOCK",
    "TZ",
};

constexpr std::string_view kNoPrograms[] = {
    "PAGER=cat",
    "GIT_PAGER=cat",
    "GH_PAGER=cat",
    "MANPAGER=cat",
    "DELTA_PAGER=cat",
    "SYSTEMD_PAGER=cat",
    "LESSSECURE=1",
    "EDITOR=false",
    "VISUAL=false",
    "GIT_EDITOR=false",
    "GH_EDITOR=false",
    "GIT_SEQUENCE_EDITOR=false",
    "GIT_MERGE_AUTOEDIT=no",
};

/// `*` matches any run of characters, also none.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  pattern.remove_prefix(star + 1);
  for (std::size_t at = star; at <= text.size(); ++at) {
    if (matches(pattern, text.substr(at))) return true;
  }
  return false;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_name(std::string_view name) {
  if (name.empty() || is_digit(name[0])) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return is_letter(c) || is_digit(c) || c == '_'; });
}

const Harmless* find_harmless(std::string_view name) {
  for (const Harmless& row : kHarmless) {
    if (matches(row.name, name)) return &row;
  }
  return nullptr;
}

bool is_harmless(std::string_view name, std::string_view value) {
  const Harmless* row = find_harmless(name);
  if (row == nullptr || value.size() > row->max_length) return false;
  return std::all_of(value.begin(), value.end(), [row](char c) {
    return is_letter(c) || is_digit(c) || row->characters.find(c) != std::string_view::npos;
  });
}

std::string_view name_of(std::string_view entry) { return entry.substr(0, entry.find('=')); }

bool is_set(std::span<const std::string> environment, std::string_view name) {
  return std::any_of(environment.begin(), environment.end(),
                     [name](const std::string& entry) { return name_of(entry) == name; });
}

}  // namespace

Result<void> check_passable(std::string_view name) {
  constexpr std::string_view kDoing = "pass a variable to a host command";
  if (!is_name(name)) return fail(kDoing, name, "not a variable name");
  for (std::string_view pattern : kRefused) {
    if (!matches(pattern, name)) continue;
    return fail(kDoing, name, "the sandbox never sets " + std::string(pattern) + " on the host",
                "set it in the environment that dirbox is started from, or leave it out");
  }
  return {};
}

std::vector<std::string> compile_host_environment(std::span<const std::string> launcher,
                                                  std::string_view path) {
  // An empty PATH would mean the working directory.
  std::vector<std::string> out{"PATH=" + std::string(path.empty() ? "/usr/bin:/bin" : path)};
  for (const std::string& entry : launcher) {
    std::string_view name = name_of(entry);
    if (name.size() == entry.size() || is_set(out, name)) continue;
    if (std::find(std::begin(kFromHost), std::end(kFromHost), name) != std::end(kFromHost)) {
      out.push_back(entry);
    }
  }
  return out;
}

std::vector<std::string> compile_ruled_environment(std::vector<std::string> host) {
  host.insert(host.end(), std::begin(kNoPrograms), std::end(kNoPrograms));
  return host;
}

std::vector<std::string> compile_environment(std::span<const std::string> host,
                                             std::span<const std::string> listed,
                                             std::span<const std::string_view> inside) {
  std::vector<std::string> out(host.begin(), host.end());
  for (std::string_view entry : inside) {
    std::string_view name = name_of(entry);
    if (name.size() == entry.size() || is_set(out, name)) continue;
    bool is_listed = std::find(listed.begin(), listed.end(), name) != listed.end();
    bool passes = is_listed && !find_harmless(name)
                      ? check_passable(name).has_value()
                      : is_harmless(name, entry.substr(name.size() + 1));
    if (passes) out.emplace_back(entry);
  }
  return out;
}

}  // namespace dirbox::broker
