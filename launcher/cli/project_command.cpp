#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>

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

/// `word`, or the working directory, absolute and without symlinks.
Result<std::string> find_real(const std::string& word) {
  std::unique_ptr<char, decltype(&::free)> real(::realpath(word.c_str(), nullptr), &::free);
  if (!real) return fail_errno("find a directory", escape_for_terminal(word));
  return std::string(real.get());
}

Result<std::string> find_directory(const std::vector<std::string>& words) {
  const std::string word = words.empty() ? "." : words.front();
  const std::string path = TRY(find_real(word));
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
    return fail_errno("find a directory", escape_for_terminal(word), ENOTDIR);
  return path;
}

/// The names that an entry can have which `words` ask for: as it is written, and what it is now.
Result<std::vector<std::string>> names_of(const std::vector<std::string>& words) {
  const std::string word = words.empty() ? "." : words.front();
  std::vector<std::string> names;
  const std::string here = word.starts_with('/') ? "/" : TRY(find_real("."));
  names.push_back(path_normalize(path_join(here, word)));
  if (auto real = find_real(word)) names.push_back(std::move(*real));
  return names;
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
  struct stat status {};
  const bool there = ::stat(target.c_str(), &status) == 0;
  const unsigned mode = there ? status.st_mode & 0777 : 0600;
  TRY_VOID(replace_file(target, after, mode));
  // The umask has had its say; what was there before need not have listened to it.
  if (there && ::chmod(target.c_str(), mode) != 0)
    return fail_errno("keep the mode of", escape_for_terminal(target));
  return {};
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
  auto directory = find_directory({words.begin() + 1, words.end()});
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
  auto names = names_of(words);
  if (!names) return report(names.error());
  auto done = edit_selections([&](std::string_view text,
                                  const std::string& file) -> Result<std::string> {
    const auto all = TRY(profiles::parse_selections(text, file));
    const auto named = std::find_if(names->begin(), names->end(), [&](const auto& name) {
      return std::any_of(all.begin(), all.end(),
                         [&](const auto& one) { return one.directory == name; });
    });
    return profiles::unset_selection(text, file, named != names->end() ? *named : names->front());
  });
  return done ? 0 : report(done.error());
}

/// What run would make of an entry.
struct Looked {
  bool profile_found = false;
  bool exists = false;     ///< as a directory
  std::string leads_to{};  ///< by symlinks; "": nowhere else
};

Looked look_at(const profiles::Selection& one, const std::vector<profiles::Listed>& known) {
  Looked out;
  out.profile_found = std::any_of(known.begin(), known.end(),
                                  [&](const auto& listed) { return listed.name == one.profile; });
  auto real = find_real(one.directory);
  struct stat status {};
  out.exists = real && ::stat(real->c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  if (out.exists && *real != one.directory) out.leads_to = std::move(*real);
  return out;
}

std::string note_of(const Looked& looked) {
  std::string out;
  if (!looked.profile_found) out = "no such profile";
  if (!looked.exists) out += out.empty() ? "no such directory" : ", no such directory";
  if (!looked.leads_to.empty())
    out += (out.empty() ? "" : ", ") + ("leads to " + escape_for_terminal(looked.leads_to));
  return out;
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
  profiles::Request request;
  request.config_dir = config_directory();
  profiles::HostSource source;
  const auto known = profiles::list_profiles(request, source);
  JsonArray out;
  Table table;
  for (const auto& one : *all) {
    const Looked looked = look_at(one, known);
    out.push_back(JsonObject{{"directory", one.directory},
                             {"profile", one.profile},
                             {"origin", one.origin.text()},
                             {"profile_found", looked.profile_found},
                             {"exists", looked.exists},
                             {"leads_to", looked.leads_to}});
    table.add({one.profile, escape_for_terminal(one.directory), note_of(looked)});
  }
  fmt::print("{}", json ? Json(out).dump_for_terminal(true) + "\n" : table.render());
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
