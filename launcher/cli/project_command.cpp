#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/base/unique_fd.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "launcher/cli/run_options.h"
#include "launcher/cli/selection.h"
#include "profiles/load.h"
#include "profiles/selection.h"
#include "profiles/text_rules.h"

namespace dirbox::cli {
namespace {

/// `word`, or the working directory, absolute and without symlinks. With `must_exist` false also a
/// directory that is gone, by its name.
Result<std::string> find_directory(const std::vector<std::string>& words, bool must_exist) {
  const std::string word = words.empty() ? "." : words.front();
  if (char* real = ::realpath(word.c_str(), nullptr)) {
    std::string path = real;
    std::free(real);
    struct stat status {};
    if (must_exist && ::stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
      return fail_errno("find a directory", escape_for_terminal(word), ENOTDIR);
    return path;
  }
  if (must_exist || errno != ENOENT || !word.starts_with('/'))
    return fail_errno("find a directory", escape_for_terminal(word));
  return path_normalize(word);
}

using Edit = std::function<Result<std::string>(std::string_view text, const std::string& file)>;

/// One edit at a time: two that began with the same text would lose one.
Result<void> edit_selections(const Edit& edit) {
  const std::string directory = config_directory();
  if (directory.empty()) return fail("change the projects", "", "no home directory", "set HOME");
  TRY_VOID(make_directories(directory));
  UniqueFd lock(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid() || ::flock(lock.get(), LOCK_EX) != 0)
    return fail_errno("lock", escape_for_terminal(directory));
  const std::string path = selection_path();
  const std::string before = TRY(read_selections());
  const std::string after = TRY(edit(before, escape_for_terminal(path)));
  if (after == before) return {};
  // Behind a symlink of a dotfile manager, what it leads to is replaced.
  char* real = ::realpath(path.c_str(), nullptr);
  const std::string target = real != nullptr ? real : path;
  std::free(real);
  return replace_file(target, after);
}

int set_verb(const Arguments& arguments) {
  std::vector<std::string> words;
  int status = parse_options(
      {"dirbox project set PROFILE [DIR]",
       "Makes PROFILE what run uses in DIR (default: the working directory) and beneath.",
       {},
       {{"PROFILE [DIR]", "a profile's name, and the directory", &words, 1, 2, {{"", "DIR"}}}}},
      arguments);
  if (status >= 0) return status;
  const std::string profile = words.front();
  if (auto wrong = profiles::check_profile_name(profile))
    return report({"set a project", escape_for_terminal(profile), 0, wrong->detail, wrong->hint});
  profiles::Request request;
  request.name = profile;
  request.config_dir = config_directory();
  if (auto loaded = profiles::load_profile(request); !loaded) return report(loaded.error());
  auto directory = find_directory({words.begin() + 1, words.end()}, true);
  if (!directory) return report(directory.error());
  auto done = edit_selections([&](std::string_view text, const std::string& file) {
    return profiles::set_selection(text, file, *directory, profile);
  });
  if (!done) return report(done.error());
  fmt::print("{} {}\n", profile, escape_for_terminal(*directory));
  return 0;
}

int unset_verb(const Arguments& arguments) {
  std::vector<std::string> words;
  int status = parse_options({"dirbox project unset [DIR]",
                              "Forgets the profile of DIR (default: the working directory).",
                              {},
                              {{"DIR", "the directory", &words, 0, 1}}},
                             arguments);
  if (status >= 0) return status;
  auto directory = find_directory(words, false);
  if (!directory) return report(directory.error());
  auto done = edit_selections([&](std::string_view text, const std::string& file) {
    return profiles::unset_selection(text, file, *directory);
  });
  return done ? 0 : report(done.error());
}

int list_verb(const Arguments& arguments) {
  bool json = false;
  int status = parse_options({"dirbox project list [--json]",
                              "Lists the directories that have a profile of their own.",
                              {{"--json", "", "as JSON", &json}}},
                             arguments);
  if (status >= 0) return status;
  auto text = read_selections();
  if (!text) return report(text.error());
  auto all = profiles::parse_selections(*text, escape_for_terminal(selection_path()));
  if (!all) return report(all.error());
  std::sort(all->begin(), all->end(),
            [](const auto& a, const auto& b) { return a.directory < b.directory; });
  if (json) {
    JsonArray out;
    for (const auto& one : *all) {
      out.push_back(JsonObject{
          {"directory", one.directory}, {"profile", one.profile}, {"origin", one.origin.text()}});
    }
    fmt::print("{}\n", Json(out).dump_for_terminal(true));
    return 0;
  }
  Table table;
  for (const auto& one : *all) table.add({one.profile, escape_for_terminal(one.directory)});
  fmt::print("{}", table.render());
  return 0;
}

constexpr Subcommand kVerbs[] = {
    {"list", "the directories that have a profile", list_verb},
    {"set", "give a directory a profile", set_verb},
    {"unset", "forget the profile of a directory", unset_verb},
};

}  // namespace

int project_command(const Arguments& arguments) { return run_verb("project", kVerbs, arguments); }

}  // namespace dirbox::cli
