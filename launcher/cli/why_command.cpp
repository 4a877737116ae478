#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "launcher/base/file.h"
#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/run_options.h"
#include "launcher/plan/policy_file.h"
#include "launcher/plan/question.h"
#include "netns/host.h"

namespace dirbox::cli {
namespace {

using plan::Answer;
using plan::Told;
using plan::Want;

constexpr int kDenied = 1;
constexpr const char* kKinds = "path|host|exec|syscall|env|socket";
constexpr const char* kHint = "dirbox why path|host|exec|syscall|env|socket …; see dirbox-why(1)";

struct WhyFlags {
  RunSettings settings;
  std::vector<std::string> words;
  bool write = false, exec = false, json = false;
};

/// What stands before the kind is for the plan, as `run` takes it.
Syntax head_syntax(WhyFlags& flags) {
  Syntax syntax{"dirbox why [OPTION…] path|host|exec|syscall|env|socket SUBJECT",
                "Tells whether the sandbox that run would make here permits something, and why.",
                plan_options(flags.settings)};
  syntax.options.push_back({"--exec", "", "of a path: may it be executed", &flags.exec});
  syntax.options.push_back({"--json", "", "the answer as JSON", &flags.json});
  syntax.positionals = {{kKinds,
                         "what is asked about, then what; behind a path --write asks for writing",
                         &flags.words,
                         0,
                         SIZE_MAX,
                         {{"path", "PATH"}, {"socket", "PATH"}, {"env", "NAME[=VALUE]"}}}};
  syntax.takes_command = true;
  return syntax;
}

/// Behind it --write says what is wanted of the path, which is known by then; the others mean the
/// same.
Syntax tail_syntax(WhyFlags& flags) {
  Syntax syntax = head_syntax(flags);
  std::erase_if(syntax.options, [](const Option& option) {
    const std::string_view name = option.names;
    return name == "--read" || name == "--write";
  });
  syntax.options.push_back({"--write", "", "of a path: may it be written", &flags.write});
  syntax.takes_command = false;
  return syntax;
}

/// The number of words before the kind.
std::size_t find_kind(const Syntax& syntax, const std::vector<std::string>& words) {
  std::size_t at = 0;
  while (at < words.size() && words[at].starts_with("-")) {
    const auto takes_value = [&](const Option& option) {
      const auto names = names_of(option);
      return *option.value != '\0' &&
             std::find(names.begin(), names.end(), words[at]) != names.end();
    };
    at += std::any_of(syntax.options.begin(), syntax.options.end(), takes_value) ? 2 : 1;
  }
  return std::min(at, words.size());
}

/// Adds what was said before the kind to what was said behind it.
void merge_settings(RunSettings& behind, RunSettings& before) {
  const auto to = plan_options(behind), from = plan_options(before);
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (auto* list = std::get_if<std::vector<std::string>*>(&to[i].target)) {
      const auto& more = *std::get<std::vector<std::string>*>(from[i].target);
      (*list)->insert((*list)->begin(), more.begin(), more.end());
    } else if (auto* text = std::get_if<std::string*>(&to[i].target)) {
      if ((*text)->empty()) **text = *std::get<std::string*>(from[i].target);
    } else {
      **std::get_if<bool*>(&to[i].target) |= *std::get<bool*>(from[i].target);
    }
  }
}

int parse_why(WhyFlags& flags, const Arguments& arguments) {
  WhyFlags before;
  const Syntax head = head_syntax(before);
  if (arguments.describe != nullptr) return parse_options(head, arguments);
  const auto& own = arguments.own;
  const auto kind = own.begin() + static_cast<std::ptrdiff_t>(find_kind(head, own));
  Arguments part;
  part.own.assign(own.begin(), kind);
  if (const int status = parse_options(head, part); status >= 0) return status;
  part.own.assign(kind, own.end());
  if (const int status = parse_options(tail_syntax(flags), part); status >= 0) return status;
  merge_settings(flags.settings, before.settings);
  flags.json |= before.json;
  flags.exec |= before.exec;
  return -1;
}

/// Inside there are no capabilities, so a mode binds root as well.
bool user_may(const std::string& path, Want want) {
  const int mode = want == Want::read ? R_OK : want == Want::exec ? X_OK : W_OK;
  if (::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) != 0) return false;
  struct stat st {};
  if (::geteuid() != 0 || ::stat(path.c_str(), &st) != 0) return true;
  const unsigned shift = st.st_uid == 0 ? 6 : st.st_gid == ::getegid() ? 3 : 0;
  return ((st.st_mode >> shift) & static_cast<unsigned>(mode)) != 0;
}

bool is_kind(std::string_view word) {
  constexpr std::string_view kWords[] = {"path", "host", "exec", "syscall", "env", "socket"};
  return std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords);
}

/// A word alone says by its form what it is: a path or a host. Nothing else is guessed.
std::string guess_kind(const std::string& word) {
  if (word.empty()) return {};
  if (word.front() == '/' || word.front() == '~' || word.front() == '.') return "path";
  const bool dotted = word.find_first_of(".:") != word.npos && word.find('/') == word.npos;
  return dotted && netns::parse_host_port(word) ? "host" : "";
}

constexpr std::string_view kDoing = "tell why";

Failure complain(std::string_view operand, std::string_view detail, std::string_view hint = kHint) {
  return fail(kDoing, escape_for_terminal(operand), detail, hint);
}

/// "example.org:8080" of "http://example.org:8080/x"; "" where it is no URL.
std::string host_of_url(const std::string& text) {
  const std::size_t scheme = text.find("://");
  if (scheme == text.npos) return "";
  const std::string rest = text.substr(scheme + 3);
  return rest.substr(0, rest.find_first_of("/?#"));
}

bool is_variable_name(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_';
  });
}

/// The question in one form: a kind, and its words.
struct Question {
  std::string kind;
  std::vector<std::string> words;
  Want want = Want::read;
};

Result<Question> read_question(const WhyFlags& flags, const Arguments& arguments) {
  Question question;
  std::vector<std::string> words = flags.words;
  if (words.empty()) return complain("", "no question");
  if (is_kind(words.front())) {
    question.kind = words.front();
    words.erase(words.begin());
  } else if (words.size() == 1) {
    question.kind = guess_kind(words.front());
  }
  if (const std::string host = host_of_url(words.empty() ? "" : words.front());
      !host.empty() && (question.kind.empty() || question.kind == "host")) {
    return complain(words.front(), "a question is about a host, not a URL",
                    "dirbox why host " + shell_quote(host));
  }
  if (question.kind.empty()) return complain(words.front(), "it is not clear what is asked about");
  if (arguments.has_command != (question.kind == "exec"))
    return complain(question.kind, question.kind == "exec" ? "no command behind --"
                                                           : "only exec takes a command behind --");
  if (question.kind == "exec") {
    if (!words.empty()) return complain(words.front(), "a command goes behind --");
    words = arguments.command;
  }
  const bool single = question.kind != "exec" && question.kind != "syscall";
  if (words.empty() || (single && words.size() > 1) || words.front().empty()) {
    return complain(words.size() > 1 ? words[1] : question.kind,
                    words.size() > 1 ? "one thing at a time" : "what was not said");
  }
  if ((flags.write || flags.exec) && (question.kind != "path" || (flags.write && flags.exec)))
    return complain(flags.write ? "--write" : "--exec", "one of the two, for a path");
  if (question.kind == "env" && !is_variable_name(words.front()))
    return complain(words.front(), "it is no name of a variable");
  if (flags.write) question.want = Want::write;
  if (flags.exec) question.want = Want::exec;
  if (question.kind == "socket") question.want = Want::connect;
  // An IPv6 address is known without the brackets, too.
  if (question.kind == "host" && netns::parse_ip(words.front()))
    words.front() = netns::host_text(*netns::parse_ip(words.front()));
  question.words = std::move(words);
  return question;
}

std::string operation_of(const Question& question) {
  if (question.kind == "exec" || question.want == Want::exec) return "exec";
  if (question.kind == "host" || question.kind == "socket") return "connect";
  if (question.kind == "path") return question.want == Want::write ? "write" : "read";
  return question.kind;
}

Result<Answer> answer(const plan::Ground& ground, const Question& question) {
  const std::string& word = question.words.front();
  if (question.kind == "host") return plan::explain_connect(ground.plan, word);
  if (question.kind == "syscall") return plan::explain_syscall(ground.plan, question.words);
  if (question.kind == "env") return plan::explain_variable(ground.plan, word);
  if (question.kind == "exec") return plan::explain_command(ground, question.words);
  return plan::explain_path(ground, word, question.want);
}

/// The plan of the sandbox that this process is in, with the environment and the place that it has
/// itself; nullopt outside.
Result<std::optional<plan::Plan>> read_own_policy() {
  constexpr std::size_t kMaxBytes = 1 << 20;
  if (std::getenv("DIRBOX") == nullptr) return std::nullopt;
  const std::string path(plan::kPolicyFile);
  auto text = read_file(path, kMaxBytes);
  if (!text && text.error().err == ENOENT) return std::nullopt;
  if (!text) return Failure(std::move(text).error());
  plan::Plan own = TRY(plan::parse_policy(*text));
  std::erase_if(own.environment, [](const plan::EnvironmentVariable& variable) {
    return std::getenv(variable.name.c_str()) == nullptr;
  });
  for (plan::EnvironmentVariable& variable : own.environment)
    variable.value = std::getenv(variable.name.c_str());
  char* cwd = ::get_current_dir_name();
  if (cwd == nullptr) return fail_errno(kDoing, "the working directory");
  own.cwd = cwd;
  std::free(cwd);
  return own;
}

/// Inside, what options would change is not known.
Error refuse_options() {
  return {std::string(kDoing), "options of a run", 0,
          "inside a sandbox the answer is about that sandbox", "leave them out"};
}

bool is_default(RunSettings& settings) {
  for (const Option& option : plan_options(settings)) {
    if (const auto* list = std::get_if<std::vector<std::string>*>(&option.target)) {
      if (!(*list)->empty()) return false;
    } else if (const auto* text = std::get_if<std::string*>(&option.target)) {
      if (!(*text)->empty()) return false;
    } else if (**std::get_if<bool*>(&option.target)) {
      return false;
    }
  }
  return true;
}

}  // namespace

int why_command(const Arguments& arguments) {
  WhyFlags flags;
  if (const int status = parse_why(flags, arguments); status >= 0) return status;
  const auto question = read_question(flags, arguments);
  if (!question) return report(question.error());
  auto own = read_own_policy();
  if (!own) return report(own.error());
  const bool inside = own->has_value();
  plan::Plan plan;
  if (inside) {
    if (!is_default(flags.settings)) return report(refuse_options());
    plan = std::move(**own);
  } else {
    Compiled compiled = compile_settings(flags.settings, {}, false);
    if (!compiled.ok) return kFailed;
    plan = std::move(compiled.plan);
  }
  plan::HostFiles files;
  plan::Resolver resolver(files);
  auto found = answer({plan, resolver, user_may, inside}, *question);
  if (!found) return report(found.error());
  const auto layers = plan::layers_of(plan, *found, question->want);
  const Told told{operation_of(*question), std::move(*found), layers};
  if (flags.json) {
    fmt::print("{}\n", plan::told_to_json(told).dump_for_terminal(true));
  } else {
    fmt::print("{}", plan::render_told(told, use_color(1)));
  }
  return told.answer.allowed ? 0 : kDenied;
}

}  // namespace dirbox::cli
