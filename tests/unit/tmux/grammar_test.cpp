#include "launcher/broker/tmux/grammar.h"

#include <doctest/doctest.h>

#include "launcher/broker/tmux/run.h"

using namespace dirbox;
using namespace dirbox::broker::tmux;

namespace {

using Words = std::vector<std::string>;

std::string refusal(const Words& words) {
  auto request = parse_request(words);
  return request ? "accepted" : request.error().detail;
}

}  // namespace

TEST_CASE("the verbs of swarm and of a director") {
  struct Case {
    Words words;
    std::string verb;
    Need need;
    std::string target;
    Words flags, operands;
  };
  const Case cases[] = {
      {{"-V"}, "", Need::nothing, "=:", {"-V"}, {}},
      {{"has-session", "-t", "swarm-1"}, "has-session", Need::sees_session, "=swarm-1:", {}, {}},
      {{"has", "-t=swarm-1"}, "", Need::nothing, "", {}, {}},
      {{"has-session", "-t", "S:W"}, "has-session", Need::sees_session, "=S:=W", {}, {}},
      {{"send-keys", "-t", "S:W", "C-u"}, "send-keys", Need::owns_pane, "=S:=W", {}, {"C-u"}},
      {{"send-keys", "-t", "S:W", "-l", "a\nb; c #x"},
       "send-keys",
       Need::owns_pane,
       "=S:=W",
       {"-l"},
       {"a\nb; c #x"}},
      {{"send", "-lt", "S:W.1", "--", "-X"},
       "send-keys",
       Need::owns_pane,
       "=S:=W.1",
       {"-l"},
       {"-X"}},
      {{"capture-pane", "-t", "S:W", "-p", "-S", "-50"},
       "capture-pane",
       Need::sees_window,
       "=S:=W",
       {"-p", "-S", "-50"},
       {}},
      {{"ls"}, "list-sessions", Need::nothing, "=:", {}, {}},
      {{"list-windows", "-t", "S", "-F", "#{window_name} #I"},
       "list-windows",
       Need::sees_session,
       "=S:",
       {"-F", "#{window_name} #I"},
       {}},
      {{"kill-window", "-t", "=S:=W"}, "kill-window", Need::owns_window, "=S:=W", {}, {}},
      {{"kill-session", "-t", "S"}, "kill-session", Need::owns_session, "=S:", {}, {}},
      {{"select-window", "-t", "S:W"}, "select-window", Need::owns_window, "=S:=W", {}, {}},
      {{"display-message", "-p", "-t", "S", "#S:#{pane_id}"},
       "display-message",
       Need::sees_window,
       "=S:",
       {"-p"},
       {"#S:#{pane_id}"}},
  };
  for (const Case& c : cases) {
    if (c.target.empty()) continue;
    CAPTURE(c.words[0]);
    auto request = parse_request(c.words);
    REQUIRE(request.has_value());
    CHECK(request->verb == c.verb);
    CHECK(request->need == c.need);
    CHECK(target_text(request->target) == c.target);
    CHECK(request->flags == c.flags);
    CHECK(request->operands == c.operands);
  }
}

TEST_CASE("windows") {
  auto made =
      parse_request(Words{"new-window", "-a", "-t", "S", "-n", "W", "-c", "/x", "env A=b 'c d'"});
  REQUIRE(made.has_value());
  CHECK(made->flags == Words{"-a"});
  CHECK(made->name == "W");
  CHECK(made->directory == "/x");
  CHECK(made->command == Words{"env A=b 'c d'"});
  made = parse_request(Words{"new-session", "-d", "-s", "S", "./loop.sh", "-t"});
  REQUIRE(made.has_value());
  CHECK(made->target.session == "S");
  CHECK(made->command == Words{"./loop.sh", "-t"});
}

TEST_CASE("sizes") {
  auto made = parse_request(Words{"new-session", "-d", "-s", "S", "-x", "999", "-y", "50"});
  REQUIRE(made.has_value());
  CHECK(made->flags == Words{"-d", "-x", "999", "-y", "50"});
}

TEST_CASE("everything else is refused") {
  const Words cases[] = {
      {},
      {"new-session", "-s", "S"},  // attaches
      {"new-session", "-d"},
      {"new-session", "-A", "-d", "-s", "S"},
      {"new-session", "-d", "-s", "S", "-e", "X=1"},
      {"new-session", "-d", "-t", "S"},
      {"new-session", "-d", "-s", "S", "-x", "1000"},
      {"new-session", "-d", "-s", "S", "-x", "80", "-y", "9999"},
      {"attach"},
      {"attach-session", "-t", "S"},
      {"run-shell", "id"},
      {"if-shell", "true", "x"},
      {"source-file", "x"},
      {"pipe-pane", "-t", "S", "cat"},
      {"set-option", "-g", "default-command", "x"},
      {"set-hook", "x"},
      {"respawn-pane", "-k", "-t", "S"},
      {"split-window", "-t", "S"},
      {"kill-server"},
      {"show-environment", "-g"},
      {"paste-buffer"},
      {"send-keys", "-t", "S", "-X", "copy-pipe", "id"},
      {"send-keys", "-K", "-t", "S", "x"},
      {"send-keys", "x"},
      {"send-keys", "-l", "-t", "S", "abc;", "run-shell", "id"},
      {"send-keys", "-l", "-t", "S", ";"},
      {"new-window", "-t", "S", "-c", "#(id)"},
      {"new-window", "-t", "S", "-n", "#(id)"},
      {"new-window", "-t", "S", "-n", "#{x}"},
      {"new-window", "-t", "S", "-k"},
      {"new-window", "-t", "S:W"},
      {"new-window", "-n", "W"},
      {"display-message", "-p", "-t", "S", "#(id)"},
      {"display-message", "-p", "-t", "S", "#{E:x}"},
      {"display-message", "-p", "-t", "S", "#{@dirbox}"},
      {"display-message", "-p", "-t", "S", "#{pane_id"},
      {"display-message", "-t", "S", "x"},
      {"display-message", "-p", "-c", "x", "-t", "S", "x"},
      {"list-windows", "-a"},
      {"list-sessions", "-f", "#{m:*,x}"},
      {"list-windows", "-t", "S", "-F", "##{x}"},
      {"capture-pane", "-t", "S"},
      {"capture-pane", "-p", "-b", "x", "-t", "S"},
      {"capture-pane", "-p", "-t", "S", "-S", "1;"},
      {"kill-window", "-a", "-t", "S:W"},
      {"kill-window", "-t", "@1"},
      {"kill-pane", "-t", "%1"},
      {"kill-window", "-t", "S:{last}"},
      {"kill-window", "-t", "S:+"},
      {"kill-window", "-t", "S*"},
      {"kill-window", "-t", "S:W", "-t", "S:V"},
      {"kill-window", "-t", ""},
      {"-L", "x", "ls"},
      {"-S", "/x", "ls"},
      {"-f", "/x", "ls"},
      {"-c", "id"},
      {"-V", "ls"},
      {"ls", ";", "run-shell", "id"},
      {"has-session", "-t", std::string("S\0x", 3)},
  };
  for (const Words& words : cases) {
    std::string shown;
    for (const std::string& word : words) shown += word + " ";
    CAPTURE(shown);
    CHECK(refusal(words) != "accepted");
  }
}

TEST_CASE("what is built is taken literally") {
  CHECK(escape_argument("a;") == "a\\;");
  CHECK(escape_argument("a;b") == "a;b");
  CHECK(escape_directory("/a#(b)") == "/a##(b)");
  CHECK(matches_session(Words{"swarm-*"}, "swarm-1"));
  CHECK_FALSE(matches_session(Words{"swarm-*"}, "main"));
  CHECK(encode_setting({"/usr/bin/tmux", "k", {"a"}, "/x", {"dirbox", "run"}}) ==
        Words{"__tmux", "/usr/bin/tmux", "k", "/x", "1", "a", "2", "dirbox", "run"});
}
