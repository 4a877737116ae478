#include "launcher/guard/leads.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::guard;

namespace {

namespace fs = std::filesystem;

/// A home with a project in it.
struct Home {
  const Scratch scratch;
  const std::string& root = scratch.path;
  Leads leads{root, read_plain};

  std::string plant(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(root + "/" + name).parent_path());
    std::ofstream(root + "/" + name) << text;
    return root + "/" + name;
  }
  std::string repository(const std::string& name, const std::string& config) const {
    plant(name + "/.git/config", config);
    return root + "/" + name;
  }
};

bool has_folder(const std::vector<Lead>& leads, const std::string& path, const Folder& folder) {
  return std::any_of(leads.begin(), leads.end(),
                     [&](const Lead& lead) { return lead.path == path && lead.folder == &folder; });
}
bool has_file(const std::vector<Lead>& leads, const std::string& path, const NameRule& rule) {
  return std::any_of(leads.begin(), leads.end(),
                     [&](const Lead& lead) { return lead.path == path && lead.rule == &rule; });
}

}  // namespace

TEST_CASE("a path is followed as the kernel follows it") {
  const Home home;
  fs::create_directories(home.root + "/a/b");
  fs::create_directory_symlink("a/b", home.root + "/link");
  fs::create_symlink("link/file", home.root + "/other");
  fs::create_symlink("loop", home.root + "/loop");
  CHECK(follow_links(home.root + "/link/../x").end == home.root + "/a/x");
  CHECK(follow_links(home.root + "//a/./b/none/at/all").end == home.root + "/a/b/none/at/all");
  const Way way = follow_links(home.root + "/other");
  CHECK(way.end == home.root + "/a/b/file");
  CHECK(way.names == std::vector{home.root + "/other"});
  CHECK(way.through == std::vector{home.root + "/link"});
  CHECK(follow_links(home.root + "/loop").end == home.root + "/loop");
  CHECK(follow_links("/../..").end == "/");
}

TEST_CASE("hooks of a configuration are from the top, the home or the root") {
  const Home home;
  const std::string top = home.repository("p",
                                          "[core]\n\thooksPath = a\n\thooksPath = ~/b\n"
                                          "\thooksPath = /c\n");
  const auto leads = home.leads.of_work_tree(top);
  for (const std::string& path : {top + "/a", home.root + "/b", std::string("/c")})
    CHECK(has_folder(leads, path, hooks_folder()));
}

TEST_CASE("configurations of the host hold for every repository") {
  Home home;
  const std::string top = home.repository("p", "");
  Spec spec;
  spec.configs = {
      home.plant(".gitconfig", "[include]\n\tpath = more\n[init]\n\ttemplateDir = ~/t\n")};
  home.plant("more", "[core]\n\thooksPath = h\n[includeIf \"gitdir:/x/\"]\n\tpath = ~/p/inc\n");
  const auto leads = home.leads.of_host(spec);
  CHECK(has_folder(leads, home.root + "/t", git_folder()));
  CHECK(has_file(leads, home.root + "/.gitconfig", kIncluded));
  CHECK(has_file(leads, home.root + "/more", kIncluded));
  CHECK(has_file(leads, home.root + "/p/inc", kIncluded));
  CHECK(has_folder(home.leads.of_work_tree(top), top + "/h", hooks_folder()));
}

TEST_CASE("a linked worktree and a submodule have the configuration of their git directory") {
  const Home home;
  home.repository("p", "[core]\n\thooksPath = h\n");
  home.plant("p/.git/worktrees/w/commondir", "../..\n");
  home.plant("p/.git/worktrees/w/config.worktree", "[core]\n\thooksPath = i\n");
  home.plant("w/.git", "gitdir: ../p/.git/worktrees/w\n");
  home.plant("p/.git/modules/s/config", "[core]\n\thooksPath = j\n\tworktree = ../../../s\n");
  home.plant("p/s/.git", "gitdir: ../.git/modules/s\n");
  const auto linked = home.leads.of_work_tree(home.root + "/w");
  CHECK(has_folder(linked, home.root + "/w/h", hooks_folder()));
  CHECK(has_folder(linked, home.root + "/w/i", hooks_folder()));
  CHECK(has_folder(home.leads.of_work_tree(home.root + "/p/s"), home.root + "/p/s/j",
                   hooks_folder()));
  const auto module = home.leads.of_git(home.root + "/p/.git/modules/s",
                                        "[core]\n\thooksPath = j\n\tworktree = ../../../s\n");
  CHECK(has_folder(module, home.root + "/p/s/j", hooks_folder()));
}

TEST_CASE("the repository above a tree counts, and what includes itself ends") {
  Home home;
  const std::string top =
      home.repository("p", "[core]\n\thooksPath = t/h\n[include]\n\tpath = x\n");
  home.plant("p/.git/x", "[include]\n\tpath = x\n\tpath = y\n");
  fs::create_directories(top + "/t/u");
  Spec spec;
  spec.trees = {top + "/t/u"};
  const auto leads = home.leads.of_host(spec);
  CHECK(has_folder(leads, top + "/t/h", hooks_folder()));
  CHECK(has_file(leads, top + "/.git/x", kIncluded));
  CHECK(has_file(leads, top + "/.git/y", kIncluded));
}

TEST_CASE("a symlink gives its rule to what it leads to, but not to what it is in") {
  const Home home;
  fs::create_directories(home.root + "/d");
  home.plant("f", "");
  const NameRule* rule = find_name(tree_folder(), ".mcp.json");
  const NameRule* gitfile = find_name(tree_folder(), ".git");
  const Folder* code = find_folder(tree_folder(), ".vscode");
  auto of = [&](const char* target, const NameRule* its_rule, const Folder* folder) {
    return Leads::of_link(home.root, target, its_rule, folder);
  };
  CHECK(has_file(of("f", rule, nullptr), home.root + "/f", *rule));
  CHECK(has_file(of("f", gitfile, &git_folder()), home.root + "/f", kLinked));
  CHECK(has_folder(of("d", nullptr, code), home.root + "/d", *code));
  CHECK(has_folder(of("none", nullptr, code), home.root + "/none", *code));
  CHECK(of(".", nullptr, code).empty());
  CHECK(of("../..", nullptr, code).empty());
}

TEST_CASE("a copy learns what is added later") {
  Indirect here;
  here.share();
  here.add({"/t/a", nullptr, &hooks_folder()});
  Indirect copy = here;
  CHECK(here.add({"/t/b/c", &kIncluded, nullptr}) == Indirect::Added::yes);
  CHECK(here.add({"/t/b/c", &kIncluded, nullptr}) == Indirect::Added::known);
  CHECK(copy.rule_at("/t/b/c") == nullptr);
  copy.catch_up();
  CHECK(copy.rule_at("/t/b/c") == &kIncluded);
  CHECK(copy.folder_at("/t/a") == &hooks_folder());
  CHECK(copy.leads_beneath("/t/b"));
  CHECK(!copy.leads_beneath("/t/x"));
  // A name on the way may be that of a file as well.
  CHECK(here.add({"/t/d", &kOnTheWay, nullptr}) == Indirect::Added::yes);
  CHECK(here.add({"/t/d", &kIncluded, nullptr}) == Indirect::Added::yes);
  CHECK(here.add({"/t/d", &kOnTheWay, nullptr}) == Indirect::Added::known);
  CHECK(here.rule_at("/t/d") == &kIncluded);
}

TEST_CASE("there is an end of what is guarded by its path") {
  Indirect all;
  for (std::size_t i = 0; i < Indirect::kMost; ++i)
    CHECK(all.add({"/t/" + std::to_string(i), &kIncluded, nullptr}) == Indirect::Added::yes);
  CHECK(all.add({"/t/more", &kIncluded, nullptr}) == Indirect::Added::full);
}
