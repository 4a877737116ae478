#include <fmt/format.h>

#include <cstdlib>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "profiles/import_claude.h"

namespace dirbox::cli {
namespace {

Result<std::string> import(const std::string& file) {
  std::string path = file;
  if (path.empty()) {
    const char* home = std::getenv("HOME");
    if (home == nullptr || *home != '/')
      return fail("import settings", "", "no home directory", "name the file");
    path = path_join(home, ".claude/settings.json");
  }
  auto text = read_file(path);
  if (!text) {
    Error error = std::move(text).error();
    error.operand = escape_for_terminal(error.operand);
    return Failure(std::move(error));
  }
  auto settings = Json::parse(*text);
  if (!settings) {
    const Error& error = settings.error();
    return fail("import settings",
                escape_for_terminal(path) + (error.operand.empty() ? "" : ":" + error.operand),
                error.detail);
  }
  if (settings->as_object() == nullptr)
    return fail("import settings", escape_for_terminal(path), "not a JSON object");
  return profiles::import_claude(*settings, path);
}

int claude_verb(const Arguments& arguments) {
  std::vector<std::string> words;
  int status = parse_options(
      {"dirbox import claude [FILE]",
       "Prints Claude Code's settings (default: ~/.claude/settings.json) as a profile.",
       {},
       {{"FILE", "a settings.json", &words, 0, 1}}},
      arguments);
  if (status >= 0) return status;
  auto text = import(words.empty() ? "" : words.front());
  if (!text) return report(text.error());
  fmt::print("{}", *text);
  return 0;
}

constexpr Subcommand kVerbs[] = {
    {"claude", "the sandbox block of Claude Code's settings", claude_verb},
};

}  // namespace

int import_command(const Arguments& arguments) { return run_verb("import", kVerbs, arguments); }

}  // namespace dirbox::cli
