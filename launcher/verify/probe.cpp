#include "launcher/verify/probe.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "launcher/base/file.h"
#include "launcher/base/json.h"
#include "launcher/base/text.h"
#include "launcher/base/unique_fd.h"
#include "launcher/guard/store.h"

namespace dirbox::verify {
namespace {

constexpr std::size_t kMaxAnswer = 1 << 20;
constexpr std::string_view kKindNames[] = {"done", "refused", "killed", "not run"};

const Verb* find_verb(std::string_view name) {
  for (std::span<const Verb> table : {file_verbs(), kernel_verbs(), process_verbs(), socket_verbs(),
                                      network_verbs(), broker_verbs()}) {
    for (const Verb& verb : table) {
      if (name == verb.name) return &verb;
    }
  }
  return nullptr;
}

Outcome not_run(std::string why) { return {Outcome::Kind::not_run, 0, std::move(why)}; }

std::string encode_outcome(const Outcome& outcome) {
  Json json;
  json.set("kind", kKindNames[static_cast<int>(outcome.kind)]);
  json.set("err", outcome.err);
  json.set("detail", guard::to_hex(outcome.detail));
  return json.dump();
}

/// In the child: the attempt and its answer. A verb that executes something never returns here.
[[noreturn]] void attempt(const Verb& verb, const Words& words, int answer) {
  ::signal(SIGALRM, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::alarm(kPatience);
  auto written = write_all(answer, encode_outcome(verb.attempt(words)), "answer");
  ::_exit(written ? 0 : 1);
}

/// One line without its break; false at the end of input.
bool read_line(int fd, std::string& pending, std::string& line) {
  for (;;) {
    if (std::size_t end = pending.find('\n'); end != std::string::npos) {
      line = pending.substr(0, end);
      pending.erase(0, end + 1);
      return true;
    }
    char chunk[4096];
    ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || pending.size() > kMaxAnswer) return false;
    pending.append(chunk, static_cast<std::size_t>(n));
  }
}

Outcome serve_line(const std::string& line) {
  auto request = Json::parse(line);
  if (!request) return not_run("malformed request");
  const Json* verb = request->find("verb");
  const Json* args = request->find("args");
  if (verb == nullptr || verb->as_string() == nullptr || args == nullptr ||
      args->as_array() == nullptr) {
    return not_run("malformed request");
  }
  Words words;
  for (const Json& word : *args->as_array()) {
    if (word.as_string() == nullptr) return not_run("malformed request");
    words.push_back(guard::from_hex(*word.as_string()));
  }
  return run_probe(*verb->as_string(), words);
}

}  // namespace

bool Outcome::refused_with(std::initializer_list<int> errors) const {
  return kind == Kind::refused && std::find(errors.begin(), errors.end(), err) != errors.end();
}

std::string Outcome::text() const {
  std::string more = detail.empty() ? "" : ": " + escape_for_terminal(detail.substr(0, 200));
  switch (kind) {
    case Kind::done:
      return "done" + more;
    case Kind::refused:
      return errno_name(err) + more;
    case Kind::killed:
      return err == SIGALRM ? "no answer in time" : fmt::format("killed by signal {}", err);
    case Kind::not_run:
      return "not run" + more;
  }
  return {};
}

Outcome succeeded(std::string detail) { return {Outcome::Kind::done, 0, std::move(detail)}; }
Outcome refused(int err, std::string detail) {
  return {Outcome::Kind::refused, err, std::move(detail)};
}
Outcome from_call(long result) {
  return result < 0 ? refused(errno) : succeeded(std::to_string(result));
}
unsigned long long number(const std::string& word) {
  return std::strtoull(word.c_str(), nullptr, 0);
}
const std::string& word_at(const Words& words, std::size_t index) {
  static const std::string kNone;
  return index < words.size() ? words[index] : kNone;
}

Outcome run_probe(std::string_view name, const Words& words) {
  const Verb* verb = find_verb(name);
  if (verb == nullptr) return not_run("unknown verb " + std::string(name));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return not_run("pipe: " + errno_name(errno));
  UniqueFd ours(ends[0]), theirs(ends[1]);
  pid_t pid = ::fork();
  if (pid < 0) return not_run("fork: " + errno_name(errno));
  if (pid == 0) attempt(*verb, words, theirs.get());
  theirs.reset();
  auto answer = read_fd(ours.get(), kMaxAnswer, "answer");
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    return WTERMSIG(status) == SIGALRM ? not_run("no answer in time")
                                       : Outcome{Outcome::Kind::killed, WTERMSIG(status), {}};
  }
  return answer ? decode_outcome(*answer) : not_run("no answer");
}

std::string encode_probe(std::string_view verb, const Words& words) {
  Json json;
  json.set("verb", verb);
  JsonArray args;
  for (const std::string& word : words) args.emplace_back(guard::to_hex(word));
  json.set("args", std::move(args));
  return json.dump();
}

Outcome decode_outcome(std::string_view line) {
  auto json = Json::parse(line);
  if (!json) return not_run("malformed answer");
  const Json *kind = json->find("kind"), *err = json->find("err"), *detail = json->find("detail");
  if (kind == nullptr || kind->as_string() == nullptr || err == nullptr ||
      err->as_int() == nullptr || detail == nullptr || detail->as_string() == nullptr) {
    return not_run("malformed answer");
  }
  for (std::size_t i = 0; i < std::size(kKindNames); ++i) {
    if (*kind->as_string() == kKindNames[i]) {
      return {static_cast<Outcome::Kind>(i), static_cast<int>(*err->as_int()),
              guard::from_hex(*detail->as_string())};
    }
  }
  return not_run("malformed answer");
}

int serve_probes(int in, int out) {
  std::string pending, line;
  while (read_line(in, pending, line)) {
    if (!write_all(out, encode_outcome(serve_line(line)) + "\n", "answer")) return 1;
  }
  return 0;
}

}  // namespace dirbox::verify
