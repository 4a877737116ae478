#include "launcher/broker/tmux/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/base/unique_fd.h"
#include "launcher/broker/tmux/grammar.h"

namespace dirbox::broker::tmux {
namespace {

constexpr int kRefused = 126;
constexpr std::size_t kMaxAnswer = 1 << 20;
constexpr std::ptrdiff_t kMostWindows = 64;

using Words = std::vector<std::string>;

std::vector<char*> pointers(const Words& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

/// The parts of `text`, which may be empty; without its last newline.
Words split(std::string_view text, char separator) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  Words out;
  for (bool more = true; more;) {
    const std::size_t end = std::min(text.find(separator), text.size());
    more = end < text.size();
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

struct Answer {
  int status = 0;
  std::string text;
  Words lines() const { return split(text, '\n'); }
};

class Helper {
 public:
  explicit Helper(Setting setting) : setting_(std::move(setting)) {}

  Result<int> run(const Request& request) {
    if (request.verb.empty()) return execute({"-V"});
    if (request.verb == "new-session") return open_window(request);
    if (request.verb == "list-sessions") return list_sessions(request);
    if (request.need == Need::sees_session && !sees(request.target.session)) {
      std::fprintf(stderr, "can't find session: %s\n", request.target.session.c_str());
      return 1;
    }
    if (request.verb == "new-window") return open_window(request);
    if (request.need == Need::sees_session)
      return execute(plain(request, target_text(request.target)));
    if (request.need == Need::owns_session) return kill_session(request);
    return on_window(request);
  }

 private:
  /// Runs tmux and waits for it. Its errors go to the caller.
  Result<Answer> ask(Words words) const {
    words.insert(words.begin(), "tmux");
    for (std::string& word : words) {
      if (word != ";") word = escape_argument(std::move(word));
    }
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("ask tmux", "pipe");
    UniqueFd from(ends[0]), to(ends[1]);
    posix_spawn_file_actions_t actions;
    if (::posix_spawn_file_actions_init(&actions) != 0) return fail_errno("ask tmux", "", ENOMEM);
    int err = ::posix_spawn_file_actions_adddup2(&actions, to.get(), 1);
    if (err == 0) err = ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    pid_t pid = -1;
    if (err == 0) {
      err = ::posix_spawn(&pid, setting_.tmux.c_str(), &actions, nullptr, pointers(words).data(),
                          environ);
    }
    ::posix_spawn_file_actions_destroy(&actions);
    if (err != 0) return fail_errno("ask tmux", setting_.tmux, err);
    to.reset();
    Answer answer;
    char buffer[4096];
    for (;;) {
      const ssize_t n = ::read(from.get(), buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0 || answer.text.size() > kMaxAnswer) break;
      answer.text.append(buffer, static_cast<std::size_t>(n));
    }
    from.reset();
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    answer.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return answer;
  }

  /// Becomes tmux.
  Result<int> execute(Words words) const {
    for (std::string& word : words) {
      if (word != ";") word = escape_argument(std::move(word));
    }
    words.insert(words.begin(), "tmux");
    ::execv(setting_.tmux.c_str(), pointers(words).data());
    return fail_errno("run tmux", setting_.tmux);
  }

  static Words plain(const Request& request, const std::string& target) {
    Words words{request.verb};
    words.insert(words.end(), request.flags.begin(), request.flags.end());
    words.insert(words.end(), {"-t", target});
    if (!request.operands.empty()) words.emplace_back("--");
    words.insert(words.end(), request.operands.begin(), request.operands.end());
    return words;
  }

  Words owners_in(const std::string& session) const {
    auto answer = ask({"list-windows", "-t", "=" + session, "-F", "#{@dirbox}"});
    return answer && answer->status == 0 ? answer->lines() : Words();
  }

  bool sees(const std::string& session) const {
    if (matches_session(setting_.sessions, session)) return true;
    const Words owners = owners_in(session);
    return std::find(owners.begin(), owners.end(), setting_.key) != owners.end();
  }

  Result<int> list_sessions(const Request& request) const {
    const Answer all = TRY(ask({"list-sessions", "-F", "#{session_name}"}));
    if (all.status != 0) return all.status;
    std::string seen;
    for (const std::string& name : all.lines()) {
      // A name with other characters matches no pattern and is none of ours.
      if (parse_target(name) && sees(name)) seen += (seen.empty() ? "" : "|") + name;
    }
    if (seen.empty()) return 0;
    Words words{"list-sessions"};
    words.insert(words.end(), request.flags.begin(), request.flags.end());
    words.insert(words.end(), {"-f", "#{m/r:^(" + seen + ")$,#{session_name}}"});
    return execute(std::move(words));
  }

  Result<int> kill_session(const Request& request) const {
    const Words owners = owners_in(request.target.session);
    if (owners.empty()) {
      std::fprintf(stderr, "can't find session: %s\n", request.target.session.c_str());
      return 1;
    }
    const bool all = std::all_of(owners.begin(), owners.end(),
                                 [&](const std::string& owner) { return owner == setting_.key; });
    if (!all)
      return fail("tmux", target_text(request.target),
                  "it has windows that this project did not make");
    return execute(plain(request, target_text(request.target)));
  }

  /// Window, pane, how many modes it is in, pid, @dirbox-pane, @dirbox of the pane that is meant,
  /// and whether it is synchronized; empty when there is none. list-panes, for display-message
  /// answers a missing window with another one.
  Result<Words> find_pane(const Target& target) const {
    Target window = target;
    window.pane.clear();
    const Answer found =
        TRY(ask({"list-panes", "-t", target_text(window), "-F",
                 ("#{window_id}|#{pane_id}|#{pane_in_mode}|#{pane_pid}|#{@dirbox-pane}|#{@dirbox}|"
                  "#{pane_synchronized}|#{pane_index}|#{pane_active}")}));
    if (found.status != 0) return Words();
    for (const std::string& line : found.lines()) {
      Words parts = split(line, '|');
      if (parts.size() != 9 || !parts[0].starts_with('@') || !parts[1].starts_with('%')) continue;
      if (target.pane.empty() ? parts[8] == "1" : parts[7] == target.pane) return parts;
    }
    std::fprintf(stderr, "can't find pane: %s\n", target.pane.c_str());
    return Words();
  }

  /// Looks the target up once; what follows names it by its ids.
  Result<int> on_window(const Request& request) const {
    const std::string asked = target_text(request.target);
    const Words ids = TRY(find_pane(request.target));
    if (ids.empty()) return 1;
    const bool owned = ids[5] == setting_.key;
    if (request.need == Need::sees_window) {
      if (!owned && !sees(request.target.session))
        return fail("tmux", asked, "the profile does not open this session");
      return execute(plain(request, ids[1]));
    }
    if (!owned) return fail("tmux", asked, "this project did not make that window");
    if (request.need == Need::owns_window) return execute(plain(request, ids[0]));
    if (ids[4] != ids[3])
      return fail("tmux", asked, "what runs there is not in a sandbox of this project");
    if (request.verb == "send-keys" && ids[6] != "0")
      return fail("tmux", asked, "synchronize-panes would type it into other panes as well");
    Words words = plain(request, ids[1]);
    if (request.verb == "send-keys" && ids[2] != "0") {
      // In copy mode keys are the user's bindings, some of which run programs. Modes can lie upon
      // one another, and are left one at a time.
      if (ids[2] != "1") return fail("tmux", asked, "the user is in a menu of tmux there");
      const Words cancel{"send-keys", "-t", ids[1], "-X", "cancel", ";"};
      words.insert(words.begin(), cancel.begin(), cancel.end());
    }
    return execute(std::move(words));
  }

  Words pane_command(const Request& request) const {
    Words words = setting_.launcher;
    std::string directory = request.directory;
    if (!directory.starts_with('/')) {
      char* here = ::get_current_dir_name();
      directory = path_join(here == nullptr ? setting_.directory : here, directory);
      std::free(here);
    }
    words.insert(words.end(), {"--chdir", path_normalize(directory), "--"});
    if (request.command.size() == 1) {
      words.insert(words.end(), {"sh", "-c", request.command[0]});
    } else if (request.command.empty()) {
      words.insert(words.end(), {"sh", "-c", "exec \"${SHELL:-/bin/sh}\""});
    } else {
      words.insert(words.end(), request.command.begin(), request.command.end());
    }
    return words;
  }

  /// Of all the project's sandboxes. Each has limits of its own, and a terminal of the host.
  Result<void> check_room() const {
    const Answer all = TRY(ask({"list-windows", "-a", "-F", "#{@dirbox}"}));
    const Words owners = all.status == 0 ? all.lines() : Words();  // else there is no server yet
    if (std::count(owners.begin(), owners.end(), setting_.key) < kMostWindows) return {};
    return fail("tmux", "new-window",
                fmt::format("this project has {} windows already", kMostWindows),
                "tmux kill-window -t SESSION:WINDOW");
  }

  Result<int> open_window(const Request& request) const {
    TRY_VOID(check_room());
    const bool session = request.verb == "new-session";
    Words words{request.verb};
    words.insert(words.end(), request.flags.begin(), request.flags.end());
    words.insert(words.end(), {"-P", "-F", "#{window_id} #{pane_id} #{pane_pid}", "-c",
                               escape_directory(setting_.directory)});
    if (!request.name.empty()) words.insert(words.end(), {"-n", request.name});
    if (session) {
      words.insert(words.end(), {"-s", request.target.session});
    } else {
      words.insert(words.end(), {"-t", "=" + request.target.session + ":"});
    }
    words.emplace_back("--");
    // Several words: tmux executes them without a shell.
    const Words command = pane_command(request);
    words.insert(words.end(), command.begin(), command.end());
    const Answer made = TRY(ask(std::move(words)));
    if (made.status != 0) return made.status;
    const Words ids = split(made.text, ' ');
    if (ids.size() != 3) return fail("tmux", request.verb, "the server does not say what it made");
    const Answer marked = TRY(ask({"set-option", "-w", "-t", ids[0], "@dirbox", setting_.key, ";",
                                   "set-option", "-p", "-t", ids[1], "@dirbox-pane", ids[2]}));
    return marked.status;
  }

  Setting setting_;
};

}  // namespace

std::vector<std::string> encode_setting(const Setting& setting) {
  Words out{"__tmux", setting.tmux, setting.key, setting.directory};
  for (const Words* list : {&setting.sessions, &setting.launcher}) {
    out.push_back(std::to_string(list->size()));
    out.insert(out.end(), list->begin(), list->end());
  }
  return out;
}

int run_helper(std::span<const std::string> arguments) {
  auto next = [&arguments]() -> std::string {
    if (arguments.empty()) return {};
    std::string word = arguments.front();
    arguments = arguments.subspan(1);
    return word;
  };
  Setting setting;
  setting.tmux = next();
  setting.key = next();
  setting.directory = next();
  for (Words* list : {&setting.sessions, &setting.launcher}) {
    const std::string count = next();
    std::size_t n = 0;
    std::from_chars(count.data(), count.data() + count.size(), n);
    for (std::size_t i = 0; i < n && !arguments.empty(); ++i) list->push_back(next());
  }
  if (setting.key.empty() || setting.launcher.empty()) return kRefused;
  auto done = [&]() -> Result<int> {
    return Helper(std::move(setting)).run(TRY(parse_request(arguments)));
  }();
  if (done) return *done;
  const Error& error = done.error();
  std::fprintf(stderr, "dirbox: tmux: refused: %s: %s\n",
               escape_for_terminal(error.operand).c_str(),
               escape_for_terminal(error.err != 0 ? error.message() : error.detail).c_str());
  return kRefused;
}

}  // namespace dirbox::broker::tmux
