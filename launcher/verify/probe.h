#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Attempts: what a check does inside the sandbox, and outside it as a control.
///
/// Theory of operation: a probe is a verb of the tables below and its words. Each runs in a process
/// of its own, which dies of SIGALRM after kPatience, so that a probe can confine or kill itself
/// and none disturbs the next. The runner inside is this same program, started in the sandbox as
/// `dirbox __probe`: it reads one JSON object per line, {"verb": "open", "args": ["2f657463"]},
/// with words and answers as hexadecimal digits, since JSON holds no bytes that are not UTF-8,
/// and answers with one line before it reads the next; so whoever asks can look at the host between
/// two probes. A verb is added by a function and a row.
namespace dirbox::verify {

constexpr unsigned kPatience = 10;  ///< seconds that one probe may take

struct Outcome {
  enum class Kind {
    done,     ///< the attempt succeeded
    refused,  ///< err: why
    killed,   ///< err: by which signal
    not_run,  ///< detail: why
  };
  Kind kind = Kind::not_run;
  int err = 0;
  std::string detail;  ///< what was found; bytes from inside

  bool done() const { return kind == Kind::done; }
  bool refused_with(std::initializer_list<int> errors) const;
  /// "done", "EROFS", "killed by signal 31", …, for people, escaped.
  std::string text() const;
};

using Words = std::vector<std::string>;

struct Verb {
  const char* name;
  Outcome (*attempt)(const Words& words);
};
std::span<const Verb> file_verbs();
std::span<const Verb> kernel_verbs();
std::span<const Verb> process_verbs();
std::span<const Verb> socket_verbs();
std::span<const Verb> network_verbs();
std::span<const Verb> broker_verbs();

/// For verbs: done with `detail`; or what errno says.
Outcome succeeded(std::string detail = {});
Outcome refused(int err, std::string detail = {});
/// done when a system call's `result` is not negative, else errno.
Outcome from_call(long result);
/// A word as a number, in any base of strtoull(3).
unsigned long long number(const std::string& word);
/// words[index], or "" beyond the end.
const std::string& word_at(const Words& words, std::size_t index);

/// Runs one probe in a child of this process.
Outcome run_probe(std::string_view verb, const Words& words);

/// The runner: answers probes from `in` on `out` until the end of input. Returns an exit status.
int serve_probes(int in, int out);

/// A probe and its outcome as the lines of the runner's protocol, without the line break.
std::string encode_probe(std::string_view verb, const Words& words);
Outcome decode_outcome(std::string_view line);

}  // namespace dirbox::verify
