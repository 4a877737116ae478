#include "launcher/guard/git_config.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <random>

#include "launcher/base/file.h"
#include "launcher/base/unique_fd.h"

/// git itself as the other reader of its configuration files: both accept the same texts, and see
/// the same entries in them.
using namespace dirbox;
using namespace dirbox::guard;

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/dirbox-git-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

/// "key\nvalue" of each entry, as `git config --list -z` has them; nullopt when git refuses.
std::optional<std::vector<std::string>> read_by_git(const std::string& file) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  UniqueFd out(ends[0]), in(ends[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.get(), 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::string words[] = {"git", "config", "--file", file, "--list", "-z", "--no-includes"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  REQUIRE(::posix_spawnp(&pid, "git", &actions, nullptr, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  in.reset();
  const std::string text = read_fd(out.get(), 1 << 20, "git").value();
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
  std::vector<std::string> entries;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\0', at);
    REQUIRE(end != text.npos);
    entries.push_back(text.substr(at, end - at));
    // A key without "=" has no value here.
    if (entries.back().find('\n') == text.npos) entries.back() += "\ntrue";
    at = end + 1;
  }
  return entries;
}

std::optional<std::vector<std::string>> read_by_us(const std::string& text) {
  const auto parsed = parse_git_config(text);
  if (!parsed) return std::nullopt;
  std::vector<std::string> entries;
  for (const ConfigEntry& entry : parsed->entries)
    entries.push_back(entry.key + "\n" + entry.value);
  return entries;
}

/// Pieces of configurations, more wrong than right ones.
std::string make_text(std::mt19937& random) {
  static constexpr const char* kPieces[] = {"[core]\n",
                                            "[a.B]",
                                            "[Remote \"Or\\\"i g\"]\n",
                                            "[x \"\\\\\"]",
                                            "[s \"]\"]\n",
                                            "[",
                                            "]",
                                            "[ ]",
                                            "[-]\n",
                                            "[c]\r\n",
                                            "[c\n]",
                                            "[d \"e\" ]",
                                            "[d  \"e\"]\n",
                                            "[f \"\"]\n",
                                            "key",
                                            "KEY-1",
                                            "k2 = v\n",
                                            "fsmonitor",
                                            "_",
                                            "9",
                                            " ",
                                            "\t",
                                            "\n",
                                            "\r\n",
                                            "\r",
                                            "=",
                                            " = ",
                                            "=\"",
                                            "\"",
                                            "\\",
                                            "\\\n",
                                            "\\\r\n",
                                            "\\t",
                                            "\\q",
                                            "\\\\",
                                            "\\\"",
                                            "#",
                                            ";",
                                            " # c\n",
                                            "; d\n",
                                            "value",
                                            "a  b ",
                                            "true",
                                            "!sh -c",
                                            "\xef\xbb\xbf",
                                            "\xc3\xa9",
                                            "\x01",
                                            "\x7f",
                                            "\v",
                                            "\f",
                                            "\b"};
  std::string text;
  if (random() % 4 != 0) text = "[base]\n";
  for (unsigned count = random() % 12; count > 0; --count)
    text += kPieces[random() % std::size(kPieces)];
  return text;
}

}  // namespace

TEST_CASE("git reads the same of its configuration as we do") {
  if (std::system("git --version > /dev/null 2>&1") != 0) {
    MESSAGE("this machine has no git");
    return;
  }
  ::setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
  Folder folder;
  const std::string file = folder.path + "/config";
  std::mt19937 random(11);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 800; ++round) {
    const std::string text = make_text(random);
    CAPTURE(text);
    REQUIRE(replace_file(file, text));
    const auto theirs = read_by_git(file), ours = read_by_us(text);
    CHECK(theirs == ours);
    ++(theirs ? accepted : refused);
  }
  // Neither is rare, else nothing was compared.
  CHECK(accepted > 100);
  CHECK(refused > 100);
}
