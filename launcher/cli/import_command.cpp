#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>
#include <utility>

#include "launcher/base/file.h"
#include "launcher/base/path.h"
#include "launcher/base/text.h"
#include "launcher/cli/command.h"
#include "launcher/cli/options.h"
#include "launcher/plan/places.h"
#include "launcher/plan/resolver.h"
#include "launcher/plan/sockets.h"
#include "profiles/decode.h"
#include "profiles/import_claude.h"
#include "profiles/toml_reader.h"

namespace dirbox::cli {
namespace {

constexpr const char* kDoing = "import settings";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value == '/' ? value : "";
}

bool is_same(const std::string& a, const std::string& b) {
  struct stat first {
  }, second{};
  return ::stat(a.c_str(), &first) == 0 && ::stat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/// What relative paths of the settings in `file` begin at: of the user's own, their directory
/// (code.claude.com/docs/en/settings-reference, "sandbox path prefixes").
std::string find_base(const std::string& file, const std::string& home) {
  const std::pair<std::string, std::string> own[] = {
      {variable("CLAUDE_CONFIG_DIR"), variable("CLAUDE_CONFIG_DIR")},
      {home.empty() ? "" : path_join(home, ".claude"), "~/.claude"}};
  for (const auto& [directory, base] : own) {
    if (!directory.empty() && (is_same(path_parent(file), directory) ||
                               is_same(file, path_join(directory, "settings.json"))))
      return base;
  }
  return "${PROJECT}";
}

/// What `dirbox profile check` would refuse on this machine, wherever it is called.
class Grants {
 public:
  explicit Grants(std::string home) : home_(std::move(home)), resolver_(files_) {
    if (!home_.empty()) own_ = plan::OwnPlaces(resolver_.resolve(home_).path);
  }

  std::string refuse(const std::string& list, const std::string& text) {
    const bool in_home = text.starts_with('~');
    if (text.starts_with('$') || (in_home && home_.empty())) return {};
    const std::string path = in_home ? home_ + text.substr(1) : text;
    const auto found = resolver_.resolve(path);
    plan::FileStat stat = found.stat;
    if (list == "filesystem.sockets") {
      auto danger = plan::socket_danger(path_normalize(path));
      if (!danger) danger = plan::socket_danger(found.path);
      if (danger)
        return fmt::format("{} (if that is meant, add {{path = …, dangerous = true}} to sockets)",
                           *danger);
      if (stat.type != plan::FileType::missing && stat.type != plan::FileType::socket)
        return "it is no socket";
      stat = {};
    }
    const auto access =
        list == "filesystem.write" ? plan::PathAccess::write : plan::PathAccess::read;
    const auto refusal = own_.refuse(found.path, access, stat);
    if (!refusal) return {};
    return refusal->reason + (refusal->hint.empty() ? "" : " (" + refusal->hint + ")");
  }

 private:
  std::string home_;
  plan::HostFiles files_;
  plan::Resolver resolver_;
  plan::OwnPlaces own_;
};

/// Nothing is printed that is not a profile.
Result<void> check_profile(const std::string& text, const std::string& shown) {
  if (text.size() > profiles::kMaxProfileBytes) {
    return fail(kDoing, shown, fmt::format("the profile would have {} bytes", text.size()),
                fmt::format("the most is {}", profiles::kMaxProfileBytes));
  }
  const auto tree = TRY(profiles::parse_toml(text, shown));
  TRY_VOID(profiles::decode_layer(tree, shown));
  return {};
}

Result<std::string> import(const std::string& file) {
  const std::string home = variable("HOME");
  std::string path = file;
  if (path.empty()) {
    if (home.empty()) return fail(kDoing, "", "no home directory", "name the file");
    path = path_join(home, ".claude/settings.json");
  }
  const std::string shown = escape_for_terminal(path);
  auto text = read_file(path);
  if (!text) {
    Error error = std::move(text).error();
    error.operand = escape_for_terminal(error.operand);
    return Failure(std::move(error));
  }
  auto settings = Json::parse(*text);
  if (!settings) {
    const Error& error = settings.error();
    return fail(kDoing, shown + (error.operand.empty() ? "" : ":" + error.operand), error.detail);
  }
  if (settings->as_object() == nullptr) return fail(kDoing, shown, "not a JSON object");
  Grants grants(home);
  std::string profile = profiles::import_claude(
      *settings, {path, find_base(path, home), [&](const std::string& list, const std::string& at) {
                    return escape_for_terminal(grants.refuse(list, at));
                  }});
  TRY_VOID(check_profile(profile, shown));
  return profile;
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
