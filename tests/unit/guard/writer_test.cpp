#include "launcher/guard/writer.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::guard;

namespace {

namespace fs = std::filesystem;

/// A tree of its own, in which the test is the writer.
struct Tree {
  Tree() { fs::create_directories(root + "/.git/hooks"); }
  const Scratch scratch;
  const std::string& root = scratch.path;

  void plant(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(root + "/" + name).parent_path());
    std::ofstream(root + "/" + name) << text;
  }
  std::string text(const std::string& name) const {
    std::ifstream in(root + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  bool has(const std::string& name) const {
    return fs::exists(fs::symlink_status(root + "/" + name));
  }
};

struct Asking {
  explicit Asking(const Tree& tree, Indirect indirect = {})
      : root(tree.root), writer({tree.root}, std::move(indirect)) {}
  std::string root;
  Writer writer;
  UniqueFd descriptor{};

  Answer::Kind ask(Act act, const std::string& first, const std::string& second = {},
                   unsigned flags = 0, unsigned mode = 0644) {
    Call call;
    call.act = act;
    call.flags = flags;
    call.mode = mode;
    call.names[0].path = first.starts_with('/') || act == Act::symlink ? first : root + "/" + first;
    call.names[1].path = second.starts_with('/') ? second : root + "/" + second;
    descriptor.reset();
    return writer.act(call, descriptor).kind;
  }
  Answer::Kind create(const std::string& name) {
    return ask(Act::open, name, {}, O_WRONLY | O_CREAT | O_TRUNC);
  }
};

using Kind = Answer::Kind;

}  // namespace

TEST_CASE("what is not guarded is done, what is outside is not looked at") {
  Tree tree;
  Asking as(tree);
  CHECK(as.create("a") == Kind::done);
  CHECK(as.descriptor.valid());
  CHECK(as.ask(Act::directory, "d", {}, 0, 0755) == Kind::done);
  CHECK(as.ask(Act::rename, "a", "d/b") == Kind::done);
  CHECK(as.ask(Act::link, "d/b", "c") == Kind::done);
  CHECK(as.create("c") == Kind::done);
  CHECK(as.ask(Act::symlink, "/anywhere", "l") == Kind::done);
  CHECK(as.ask(Act::remove, "c") == Kind::done);
  CHECK(as.ask(Act::remove, "d/b") == Kind::done);
  CHECK(as.ask(Act::remove, "d", {}, AT_REMOVEDIR) == Kind::done);
  CHECK(as.create("/tmp/elsewhere") == Kind::not_mine);
  CHECK(as.create("/proc/self/cwd/x") == Kind::not_mine);
  CHECK(as.create(".git/index.lock") == Kind::done);
  CHECK(as.create(".git/hooks/pre-commit.sample") == Kind::done);
}

TEST_CASE("a guarded name is neither made nor changed") {
  Tree tree;
  tree.plant(".envrc", "mine");
  tree.plant("source", "evil");
  Asking as(tree);
  ::symlink(".git/hooks/pre-push", (tree.root + "/dangling").c_str());
  for (const char* name : {".envrc", ".git/hooks/pre-push", ".git/config", "source/../.envrc",
                           ".git/./hooks//pre-push", "dangling", ".mcp.json", ".git/commondir"}) {
    CAPTURE(name);
    const Kind kind = as.create(name);
    CHECK((kind == Kind::guarded || kind == Kind::not_mine));
    if (std::string(name) == "source/../.envrc") continue;
    CHECK(kind == Kind::guarded);
    if (std::string(name) == "dangling") continue;
    CHECK(as.ask(Act::link, "source", name) != Kind::done);
    CHECK(as.ask(Act::symlink, "/bin/sh", name) != Kind::done);
    CHECK(as.ask(Act::node, name, {}, 0, S_IFREG | 0644) != Kind::done);
  }
  CHECK(as.ask(Act::rename, "source", ".envrc") == Kind::guarded);
  CHECK(as.ask(Act::rename, ".envrc", "x") == Kind::guarded);
  CHECK(as.ask(Act::rename, "source", ".envrc", 2) == Kind::guarded);
  CHECK(as.ask(Act::rename, ".envrc", "source", 2) == Kind::guarded);
  CHECK(as.ask(Act::link, ".envrc", "x") == Kind::guarded);
  CHECK(as.ask(Act::remove, ".envrc") == Kind::guarded);
  CHECK(as.ask(Act::mode, ".envrc", {}, 0, 0755) == Kind::guarded);
  CHECK(as.ask(Act::truncate, ".envrc") == Kind::guarded);
  CHECK(tree.text(".envrc") == "mine");
  CHECK_FALSE(tree.has(".git/hooks/pre-push"));
}

TEST_CASE("a configuration is replaced by a harmless copy") {
  Tree tree;
  tree.plant(".git/config", "[core]\n\tpager = cat\n");
  Asking as(tree);
  tree.plant(".git/config.lock", "[core]\n\tpager = evil\n");
  CHECK(as.ask(Act::rename, ".git/config.lock", ".git/config") == Kind::guarded);
  tree.plant(".git/config.lock", "[core]\n\tpager = cat\n[user]\n\tname = x\n");
  UniqueFd held(::open((tree.root + "/.git/config.lock").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  CHECK(as.ask(Act::rename, ".git/config.lock", ".git/config") == Kind::done);
  CHECK_FALSE(tree.has(".git/config.lock"));
  REQUIRE(::write(held.get(), "[core]\n", 7) == 7);
  CHECK(tree.text(".git/config") == "[core]\n\tpager = cat\n[user]\n\tname = x\n");
  CHECK(as.ask(Act::remove, ".git/config") == Kind::guarded);
  // One that was made here may go.
  fs::create_directories(tree.root + "/n/.git");
  tree.plant("n/.git/config.lock", "[user]\n\tname = x\n");
  CHECK(as.ask(Act::rename, "n/.git/config.lock", "n/.git/config") == Kind::done);
  CHECK(as.ask(Act::remove, "n/.git/config") == Kind::done);
}

TEST_CASE("directories move where the same names are guarded") {
  Tree tree;
  fs::create_directories(tree.root + "/a/b");
  fs::create_directories(tree.root + "/.git/objects/aa");
  tree.plant(".vscode/tasks.json", "{}");
  Indirect indirect;
  indirect.add({tree.root + "/tools/hooks", nullptr, &hooks_folder()});
  Asking as(tree, indirect);
  fs::create_directories(tree.root + "/tools/hooks");
  CHECK(as.ask(Act::rename, "a/b", "b") == Kind::done);
  CHECK(as.ask(Act::rename, "b", ".husky") == Kind::guarded);
  CHECK(as.ask(Act::rename, "b", ".git/modules") == Kind::guarded);
  CHECK(as.ask(Act::rename, "b", "a", 2) == Kind::done);
  CHECK(as.ask(Act::rename, "b", ".vscode", 2) == Kind::guarded);
  CHECK(as.ask(Act::rename, ".vscode", "v") == Kind::guarded);
  CHECK(as.ask(Act::rename, ".git/objects/aa", "aa") == Kind::done);
  CHECK(as.ask(Act::rename, "tools", "t") == Kind::guarded);
  CHECK(as.create("tools/hooks/pre-commit") == Kind::guarded);
}

TEST_CASE("what makes a directory a git directory is looked at") {
  Tree tree;
  Asking as(tree);
  tree.plant("evil/config", "[core]\n\tfsmonitor = evil\n");
  tree.plant("hooked/hooks/pre-commit", "evil");
  tree.plant("fine/config", "[core]\n\tbare = true\n");
  for (const char* name : {"evil", "hooked", "fine"}) {
    const std::string top = name;
    CHECK(as.ask(Act::directory, top + "/objects", {}, 0, 0755) == Kind::done);
    CHECK(as.ask(Act::directory, top + "/refs", {}, 0, 0755) == Kind::done);
    CHECK(as.create(top + "/HEAD") == (top == "fine" ? Kind::done : Kind::guarded));
  }
  CHECK(as.create("fine/config") == Kind::guarded);
  CHECK(as.create("fine/hooks/pre-commit") != Kind::done);
}

TEST_CASE("a gitfile gets its name when what it says is known") {
  Tree tree;
  fs::create_directories(tree.root + "/.git/worktrees/w");
  fs::create_directories(tree.root + "/w");
  Asking as(tree);
  auto written = [&](const std::string& name, const std::string& text) {
    REQUIRE(as.create(name) == Kind::done);
    UniqueFd file = std::move(as.descriptor);
    CHECK_FALSE(tree.has(name));
    REQUIRE(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    CHECK(as.create("other") == Kind::done);
    // What comes after is not in it.
    REQUIRE(::write(file.get(), "evil", 4) == 4);
    return tree.text(name);
  };
  const std::string good = "gitdir: " + tree.root + "/.git/worktrees/w\n";
  CHECK(written("w/.git", good) == good);
  CHECK(written(".git/worktrees/w/gitdir", tree.root + "/w/.git\n") == tree.root + "/w/.git\n");
  fs::create_directories(tree.root + "/v");
  CHECK(written("v/.git", "gitdir: /elsewhere\n").empty());
  CHECK(as.create(".git/worktrees/w/commondir") == Kind::done);
  CHECK(tree.text(".git/worktrees/w/commondir") == "../..\n");
  CHECK(as.create("v/commondir") == Kind::done);  // that is nothing
  CHECK(as.create(".git/commondir") == Kind::guarded);
  CHECK(as.ask(Act::remove, "w/.git") == Kind::done);
}

TEST_CASE("a file with an unknown name is not opened") {
  Tree tree;
  tree.plant("deep/.envrc", "mine");
  ::link((tree.root + "/deep/.envrc").c_str(), (tree.root + "/x").c_str());
  Asking as(tree);
  CHECK(as.create("x") == Kind::guarded);
  CHECK(as.ask(Act::link, "x", "y") == Kind::guarded);
}

TEST_CASE("calls and answers travel") {
  Call call;
  call.act = Act::rename;
  call.flags = 2;
  call.names[1] = {"/base", 1, 2, "name"};
  auto bytes = encode_call(call);
  REQUIRE(bytes);
  auto read = parse_call(*bytes);
  REQUIRE(read);
  CHECK(read->names[1].path == "name");
  CHECK(read->names[1].inode == 2);
  bytes->pop_back();
  CHECK_FALSE(parse_call(*bytes));
  auto answer = parse_answer(encode_answer({Kind::guarded, 1, "p", "w"}));
  REQUIRE(answer);
  CHECK(answer->why == "w");
}
