#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "launcher/base/json.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "launcher/cli/project_file.h"
#include "launcher/cli/run_options.h"
#include "launcher/cli/selection.h"

namespace dirbox::cli {
namespace {

constexpr std::size_t kShownDigits = 12;  // of a hash, as git shows them

/// True for a line that begins with y.
bool ask() {
  fmt::print(stderr, "trust this file? [y/N] ");
  const int answer = std::getchar();
  for (int c = answer; c != '\n' && c != EOF;) c = std::getchar();
  return answer == 'y' || answer == 'Y';
}

/// The same line with `option`, and without --show.
std::string again_with(const char* option, const Arguments& arguments) {
  std::string line = std::string("dirbox trust") + option;
  for (const std::string& word : arguments.own) {
    if (word != "--show") line += " " + shell_quote(word);
  }
  return escape_for_terminal(line);
}

int trust(const ProjectFile& file, bool yes, bool show, const Arguments& arguments) {
  fmt::print("{}\n{}", escape_for_terminal(file.path), render_changes(file.changes));
  for (const plan::Note& note : file.idle) {
    fmt::print("  {}: {}\n", note.origin.text(), escape_sentence(note.text));
  }
  if (file.changes.empty()) fmt::print("  changes nothing\n");
  if (!file.widens()) {
    fmt::print("  nothing in it needs trust\n");
    return 0;
  }
  if (check_trusted(file)) {
    fmt::print("  trusted with this content\n");
    return 0;
  }
  if (show) {
    fmt::print("  it widens, and is not trusted with this content: {}\n",
               again_with("", arguments));
    return 1;
  }
  if (!yes && ::isatty(STDIN_FILENO) != 1) {
    return report({"trust a project file", escape_for_terminal(file.path), 0,
                   "nobody can be asked: the input is no terminal",
                   "read what it widens, then: " + again_with(" --yes", arguments)});
  }
  if (!yes && !ask()) return 1;
  if (auto done = record_trust(file); !done) return report(done.error());
  fmt::print("trusted: sha256 {}\n", file.hash);
  return 0;
}

Result<std::optional<ProjectFile>> find_file(const std::string& asked) {
  plan::HostFiles files;
  const plan::HostFacts facts = TRY(plan::gather_facts(files, environ));
  const Chosen chosen = TRY(choose_profile(asked, facts));
  profiles::Request request;
  request.name = chosen.profile;
  request.config_dir = config_directory();
  const profiles::Profile base = TRY(profiles::load_profile(request));
  return find_project_file(base, {}, facts);
}

/// Needs neither the file nor a profile: who takes trust back does so also where either is broken.
Result<void> forget(const std::string& directory) {
  std::vector<std::string> paths;
  if (!directory.empty()) {
    char* real = ::realpath(directory.c_str(), nullptr);
    if (real == nullptr && (errno != ENOENT || !directory.starts_with('/')))
      return fail_errno("find a directory", escape_for_terminal(directory));
    paths.push_back(path_join(real != nullptr ? real : path_normalize(directory), kProjectFile));
    std::free(real);
  }
  if (directory.empty() || ::chdir(directory.c_str()) == 0) {
    plan::HostFiles files;
    paths.push_back(project_file_path(TRY(plan::gather_facts(files, environ))));
  }
  Result<void> done = forget_trust(paths.front());
  return done || done.error().err != 0 || paths.size() == 1 ? done : forget_trust(paths.back());
}

int list(bool json) {
  const auto all = list_trusted();
  if (!all) return report(all.error());
  if (json) {
    JsonArray out;
    for (const Trusted& one : *all) {
      out.push_back(JsonObject{{"path", one.path}, {"sha256", one.hash}, {"state", one.state}});
    }
    fmt::print("{}\n", Json(out).dump_for_terminal(true));
    return 0;
  }
  Table table;
  for (const Trusted& one : *all)
    table.add({one.state, one.hash.substr(0, kShownDigits), escape_for_terminal(one.path)});
  fmt::print("{}", table.render());
  return 0;
}

}  // namespace

int trust_command(const Arguments& arguments) {
  std::vector<std::string> words;
  std::string profile;
  bool yes = false, show = false, no_more = false, all = false, json = false;
  int status = parse_options(
      {"dirbox trust [OPTION…] [DIR]",
       "Shows what .dirbox.toml of the project in DIR (default: here) changes, and lets it widen.",
       {{"-p,--profile", "NAME|FILE", "compare with this profile", &profile},
        {"--show", "", "only show it; exit status 1 where it needs trust", &show},
        {"--yes", "", "do not ask", &yes},
        {"--forget", "", "trust it no more, be it there or not", &no_more},
        {"--list", "", "the files that are trusted", &all},
        {"--json", "", "with --list: as JSON", &json}},
       {{"DIR", "the project", &words, 0, 1}},
       false,
       {{"--show", "--yes"},
        {"--forget", "--show"},
        {"--forget", "--yes"},
        {"--list", "--forget"},
        {"--list", "--show"},
        {"--list", "--yes"}}},
      arguments);
  if (status >= 0) return status;
  if (json && !all)
    return report({"trust", "--json", 0, "it is for --list", "add that, or leave this out"});
  if (all && !words.empty())
    return report({"trust", "--list", 0, "it takes no directory", "dirbox trust --list"});
  if (all) return list(json);
  if (no_more) {
    auto done = forget(words.empty() ? "" : words.front());
    return done ? 0 : report(done.error());
  }
  if (!words.empty() && ::chdir(words.front().c_str()) != 0)
    return report({"find a directory", escape_for_terminal(words.front()), errno, "", ""});
  auto file = find_file(profile);
  if (!file) return report(file.error());
  if (!*file) {
    return report({"trust a project file", kProjectFile, ENOENT, "",
                   "it belongs in the top directory of the project"});
  }
  return trust(**file, yes, show, arguments);
}

}  // namespace dirbox::cli
