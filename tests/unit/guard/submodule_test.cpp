#include "launcher/guard/submodule.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::guard;

TEST_CASE("where a submodule may be checked out") {
  const Scratch scratch;
  const std::string tree = scratch.path + "/w", git = tree + "/.git/modules/sub";
  std::filesystem::create_directories(git);
  auto may = [&](const std::string& path) { return is_submodule_tree(git, tree + path, tree); };
  CHECK(may("/sub"));
  CHECK(may("/libs/sub"));
  CHECK_FALSE(is_submodule_tree(tree + "/.git", tree + "/sub", tree));
  CHECK_FALSE(is_submodule_tree(git, scratch.path + "/elsewhere", tree));
  for (const char* path : {"", "/.git", "/.git/hooks", "/.git/modules", "/.git/modules/sub",
                           "/.vscode", "/a/.GIT/x", "/a/.claude/commands"}) {
    CAPTURE(path);
    CHECK_FALSE(may(path));
  }
  std::filesystem::create_directories(tree + "/bare/objects");
  std::filesystem::create_directories(tree + "/bare/refs");
  CHECK(may("/bare/hooks"));
  std::ofstream(tree + "/bare/HEAD") << "ref: refs/heads/main\n";
  CHECK_FALSE(may("/bare"));
  CHECK_FALSE(may("/bare/hooks"));
  std::filesystem::create_directory_symlink("/tmp", tree + "/link");
  CHECK_FALSE(may("/link"));
  CHECK_FALSE(may("/link/x"));

  std::filesystem::create_directories(tree + "/sub");
  CHECK(may("/sub"));
  std::ofstream(tree + "/sub/.git") << "gitdir: ../.git/modules/sub\n";
  CHECK(may("/sub"));
  std::ofstream(tree + "/sub/.git") << "gitdir: " << git << "\n";
  CHECK(may("/sub"));
  std::ofstream(tree + "/sub/.git") << "gitdir: ../.git/modules/other\n";
  CHECK_FALSE(may("/sub"));
  std::filesystem::remove(tree + "/sub/.git");
  std::filesystem::create_directories(tree + "/sub/.git");
  CHECK_FALSE(may("/sub"));
}
