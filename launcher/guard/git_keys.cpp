#include <algorithm>
#include <string>

#include "launcher/guard/git_config.h"

// Which keys of a git configuration are a danger: the one table of them.

namespace dirbox::guard {
namespace {

bool is_key(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

std::string folded(std::string_view text) {
  std::string out;
  for (char c : text) out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  return out;
}

bool is_boolean(std::string_view value) {
  constexpr std::string_view kWords[] = {"", "true", "false", "yes", "no", "on", "off", "0", "1"};
  const std::string word = folded(value);
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

bool is_true(std::string_view value) {
  const std::string word = folded(value);
  return word == "true" || word == "yes" || word == "on" || word == "1";
}

/// "ext::…", "fd::…": git executes git-remote-ext, which executes what follows.
bool names_helper(std::string_view url) {
  const std::size_t colons = url.find("::");
  return colons != url.npos && colons > 0 &&
         std::all_of(url.begin(), url.begin() + static_cast<std::ptrdiff_t>(colons),
                     [](char c) { return is_key(c) || c == '+'; });
}

enum class Test {
  any,
  not_boolean,  ///< true and false choose what git brings itself
  command,      ///< an alias for more than the name of a command
  bang,         ///< "!…"
  helper,       ///< a URL of a transport helper
  path,         ///< a program by path
  turned_off,
  not_never,
  moved_tree,  ///< a work tree other than that of a submodule
};

struct DangerRow {
  std::string_view section, name;  ///< name "*": any; "*x": any that ends so
  Test test;
  const char* why;
};

// Keys of git itself and of programs beside it whose value becomes a command, a program, or another
// place to read configuration, hooks or templates from.
constexpr DangerRow kDangers[] = {
    {"core", "fsmonitor", Test::not_boolean, "git status executes it"},
    {"core", "hookspath", Test::any, "git takes its hooks from there"},
    {"core", "sshcommand", Test::any, "git fetch executes it"},
    {"core", "gitproxy", Test::any, "git fetch executes it"},
    {"core", "askpass", Test::any, "git executes it for passwords"},
    {"core", "pager", Test::any, "git log executes it"},
    {"core", "editor", Test::any, "git commit executes it"},
    {"core", "alternaterefscommand", Test::any, "git fetch executes it"},
    {"core", "attributesfile", Test::any, "attributes choose filters and drivers"},
    {"core", "worktree", Test::moved_tree, "git checkout would write elsewhere"},
    {"sequence", "editor", Test::any, "git rebase executes it"},
    {"pager", "*", Test::not_boolean, "git executes it"},
    {"include", "path", Test::any, "git reads configuration from there"},
    {"includeif", "path", Test::any, "git reads configuration from there"},
    {"alias", "*", Test::command, "the alias executes it"},
    {"filter", "clean", Test::any, "git add executes it"},
    {"filter", "smudge", Test::any, "git checkout executes it"},
    {"filter", "process", Test::any, "git add executes it"},
    {"diff", "external", Test::any, "git diff executes it"},
    {"diff", "command", Test::any, "git diff executes it"},
    {"diff", "textconv", Test::any, "git diff executes it"},
    {"difftool", "cmd", Test::any, "git difftool executes it"},
    {"difftool", "path", Test::any, "git difftool executes it"},
    {"mergetool", "cmd", Test::any, "git mergetool executes it"},
    {"mergetool", "path", Test::any, "git mergetool executes it"},
    {"mergetool", "layout", Test::any, "the shell of git mergetool executes it"},
    {"difftool", "layout", Test::any, "the shell of git difftool executes it"},
    {"merge", "driver", Test::any, "git merge executes it"},
    {"diff", "tool", Test::path, "git difftool executes the file of that name"},
    {"diff", "guitool", Test::path, "git difftool executes the file of that name"},
    {"merge", "tool", Test::path, "git mergetool executes the file of that name"},
    {"merge", "guitool", Test::path, "git mergetool executes the file of that name"},
    {"rebase", "instructionformat", Test::any, "git rebase executes lines of it"},
    {"interactive", "difffilter", Test::any, "git add -p executes it"},
    {"credential", "helper", Test::any, "git executes it, and gives it passwords"},
    {"credential", "uihelper", Test::any, "Git Credential Manager executes it"},
    {"credential", "credentialstore", Test::any, "passwords would be kept elsewhere"},
    {"credential", "plaintextstorepath", Test::any, "passwords would be kept there"},
    {"http", "proxy", Test::any, "git fetch gives it passwords"},
    {"remote", "proxy", Test::any, "git fetch gives it passwords"},
    {"http", "curloptresolve", Test::any, "git fetch would go elsewhere"},
    {"http", "sslverify", Test::turned_off, "git fetch would believe any server"},
    {"http", "sslcainfo", Test::any, "git fetch would believe other servers"},
    {"http", "sslcapath", Test::any, "git fetch would believe other servers"},
    {"http", "proxysslcainfo", Test::any, "git fetch would believe other servers"},
    {"gpg", "program", Test::any, "git executes it to sign and verify"},
    {"gpg", "defaultkeycommand", Test::any, "git executes it to sign"},
    {"remote", "url", Test::helper, "git fetch executes a transport helper"},
    {"remote", "pushurl", Test::helper, "git push executes a transport helper"},
    {"remote", "pushdefault", Test::helper, "git push executes a transport helper"},
    {"branch", "remote", Test::helper, "git fetch executes a transport helper"},
    {"branch", "pushremote", Test::helper, "git push executes a transport helper"},
    {"submodule", "url", Test::helper, "git submodule update executes a transport helper"},
    {"bundle", "uri", Test::helper, "git fetch executes a transport helper"},
    {"fetch", "bundleuri", Test::helper, "git fetch executes a transport helper"},
    {"remote", "vcs", Test::any, "git fetch executes a transport helper"},
    {"remote", "receivepack", Test::any, "git push executes it"},
    {"remote", "uploadpack", Test::any, "git fetch executes it"},
    {"url", "insteadof", Test::helper, "git fetch executes a transport helper"},
    {"url", "pushinsteadof", Test::helper, "git push executes a transport helper"},
    {"protocol", "allow", Test::not_never, "transport helpers could execute commands"},
    {"submodule", "update", Test::bang, "git submodule update executes it"},
    {"http", "savecookies", Test::any, "git fetch writes what a server sends to any file"},
    {"gitflow", "hooks", Test::any, "git flow takes its hooks from there"},
    {"svn", "authorsprog", Test::any, "git svn executes it"},
    {"trailer", "command", Test::any, "git commit executes it"},
    {"trailer", "cmd", Test::any, "git commit executes it"},
    {"init", "templatedir", Test::any, "git init takes hooks from there"},
    {"uploadpack", "packobjectshook", Test::any, "git fetch executes it"},
    {"gc", "recentobjectshook", Test::any, "git gc executes it"},
    {"hook", "*", Test::any, "git executes it as a hook"},
    {"tar", "command", Test::any, "git archive executes it"},
    {"browser", "cmd", Test::any, "git help executes it"},
    {"browser", "path", Test::any, "git help executes it"},
    {"web", "browser", Test::path, "git help executes it"},
    {"man", "cmd", Test::any, "git help executes it"},
    {"man", "path", Test::any, "git help executes it"},
    {"instaweb", "*", Test::any, "git instaweb executes it"},
    {"imap", "tunnel", Test::any, "git imap-send executes it"},
    {"sendemail", "smtpserver", Test::any, "git send-email executes it, or gives it passwords"},
    {"sendemail", "sendmailcmd", Test::any, "git send-email executes it"},
    {"sendemail", "tocmd", Test::any, "git send-email executes it"},
    {"sendemail", "cccmd", Test::any, "git send-email executes it"},
    {"sendemail", "headercmd", Test::any, "git send-email executes it"},
    {"guitool", "cmd", Test::any, "git gui executes it"},
    {"lfs", "path", Test::any, "git-lfs executes it"},
    {"lfs", "clean", Test::any, "git-lfs executes it"},
    {"lfs", "smudge", Test::any, "git-lfs executes it"},
    {"lfs", "standalonetransferagent", Test::any, "git-lfs executes it"},
    {"tig", "*", Test::any, "tig executes what its settings bind"},
    {"delta", "pager", Test::any, "delta executes it"},
    {"gui", "diffopts", Test::any, "git gui gives it to git diff, which can write any file"},
    {"options", "strategy", Test::path, "git cherry-pick --continue executes that program"},
    {"secrets", "providers", Test::any, "git-secrets executes it"},
    {"annex", "*-command", Test::any, "git-annex executes it"},
    {"annex", "ssh-options", Test::any, "ssh executes commands in it"},
    {"remote", "annex-ssh-options", Test::any, "ssh executes commands in it"},
    {"remote", "*-command", Test::any, "git-annex executes it"},
    {"stgit", "editor", Test::any, "stg executes it"},
    {"stgit", "pager", Test::any, "stg executes it"},
    {"core", "virtualfilesystem", Test::any, "git status executes it"},
    {"cinnabar", "helper", Test::any, "git-cinnabar executes it"},
    {"wt", "deleter", Test::any, "git wt executes it"},
    {"gtr", "*", Test::any, "git gtr executes its hooks"},
};

bool holds(Test test, std::string_view key, std::string_view value, const Inside& inside) {
  switch (test) {
    case Test::any:
      return true;
    case Test::not_boolean:
      return !is_boolean(value);
    case Test::command:
      // Options and subcommands can execute what follows them: bisect run.
      return value.starts_with('-') ||
             !std::all_of(value.begin(), value.end(), [](char c) { return is_key(c); });
    case Test::bang:
      return value.starts_with('!');
    case Test::helper: {
      const std::size_t dot = key.find('.'), last = key.rfind('.');
      return names_helper(value) || (key.starts_with("url.") && last > dot &&
                                     names_helper(key.substr(dot + 1, last - dot - 1)));
    }
    case Test::path:
      return value.find('/') != value.npos;
    case Test::turned_off:
      return is_boolean(value) && !value.empty() && !is_true(value);
    case Test::not_never:
      return folded(value) != "never";
    case Test::moved_tree:
      return !inside || !inside(value);
  }
  return true;
}

}  // namespace

const char* config_danger(std::string_view key, std::string_view value, const Inside& inside) {
  const std::size_t dot = key.find('.'), last = key.rfind('.');
  if (dot == key.npos) return nullptr;
  const std::string_view section = key.substr(0, dot), name = key.substr(last + 1);
  for (const DangerRow& row : kDangers) {
    const bool named =
        row.name.starts_with('*') ? name.ends_with(row.name.substr(1)) : row.name == name;
    if (row.section == section && named && holds(row.test, key, value, inside)) return row.why;
  }
  return nullptr;
}

}  // namespace dirbox::guard
