#include "launcher/guard/git_index.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "tests/support/scratch.h"

using namespace dirbox;
using namespace dirbox::guard;

namespace {

constexpr std::uint32_t kFile = 0100644, kSymlink = 0120000, kSubmodule = 0160000,
                        kDirectory = 0040000;

std::string number(std::uint64_t value, int size = 4) {
  std::string out;
  while (size-- > 0) out += static_cast<char>(value >> (8 * size));
  return out;
}

struct Entry {
  std::string path;
  std::uint32_t mode = kFile;
};

/// An index of version 2 as git would write it, whatever the paths.
struct Forged {
  explicit Forged(const std::vector<Entry>& entries, std::size_t id_size = kSha1Size)
      : hash(id_size, '\0') {
    body = "DIRC" + number(2) + number(entries.size());
    for (const Entry& entry : entries) {
      offsets.push_back(body.size());
      body += std::string(24, '\0') + number(entry.mode) + std::string(12, '\0') + hash +
              number(std::min<std::size_t>(entry.path.size(), 0xfff), 2) + entry.path;
      body.append(8 - (body.size() - offsets.back()) % 8, '\0');
    }
    end = body.size();
  }
  Forged& add(const std::string& name, const std::string& content) {
    body += name + number(content.size()) + content;
    return *this;
  }
  /// What git reads with threads; by default where that is.
  Forged& add_end(std::vector<std::pair<std::size_t, std::size_t>> groups, std::size_t at = 0) {
    std::string table = number(1);
    for (const auto& [offset, count] : groups) table += number(offset) + number(count);
    add("IEOT", table);
    return add("EOIE", number(at != 0 ? at : end) + hash);
  }
  std::string text() const { return body + hash; }

  std::string body, hash;
  std::vector<std::size_t> offsets;
  std::size_t end = 0;
};

std::string danger_of(const std::string& text, std::size_t id_size = kSha1Size,
                      bool shared = false) {
  return find_index_danger(bytes_of_index(text), id_size, shared).value_or("");
}
std::string danger_of(const Forged& index) { return danger_of(index.text(), index.hash.size()); }

/// A repository of git's own.
struct Repository {
  explicit Repository(const std::string& options = "") {
    REQUIRE(run("git init -q " + options + " ."));
  }
  bool run(const std::string& command) const {
    return std::system(("cd " + scratch.path + " && export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 && { " +
                        command + "; } >/dev/null 2>&1")
                           .c_str()) == 0;
  }
  std::string text(const std::string& name = "index") const {
    std::ifstream in(scratch.path + "/.git/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  const Scratch scratch;
};

constexpr const char* kManyFiles =
    "mkdir -p a/b/c a-b .github d && for i in $(seq 300); do echo $i > a/b/c/f$i; done; "
    "echo 1 > a-b/x; echo 1 > a.x; echo 1 > .github/w; echo 1 > .gitignore; echo 1 > ...; "
    "ln -s a link; echo 1 > link.x; printf 1 > $(printf 'n\\303\\244me'); "
    "long=$(printf %0200d 0); mkdir -p $long/$long/$long && cd $long/$long/$long && "
    "mkdir -p $long/$long/$long && cd $long/$long/$long && mkdir -p "
    "$long/$long/$long/$long/$long/$long/$long/$long && "
    "cd $long/$long/$long/$long/$long/$long/$long/$long && mkdir -p "
    "$long/$long/$long/$long/$long/$long && "
    "echo 1 > $long/$long/$long/$long/$long/$long/f; cd ../../../../../../../../../../../../../..; "
    "git add -A && ";

}  // namespace

TEST_CASE("what git writes is harmless") {
  for (const char* version : {"2", "3", "4"}) {
    CAPTURE(version);
    const Repository repository;
    const std::string set = std::string("git update-index --index-version ") + version;
    REQUIRE(repository.run(kManyFiles + set));
    CHECK(danger_of(repository.text()) == "");
    // Extended flags, stages, what cannot be resolved, threads.
    REQUIRE(repository.run(
        "git config user.name t && git config user.email t && git commit -qm 1 && echo new > n && "
        "git add -N n && git update-index --skip-worktree a.x && git update-index "
        "--assume-unchanged "
        "link.x && git config index.threads 4 && git config index.recordEndOfIndexEntries true && "
        "git config index.recordOffsetTable true && git config core.untrackedCache true && "
        "git checkout -q -b b && echo b > a-b/x && git commit -qam b && git checkout -q - && "
        "echo c > a-b/x && git commit -qam c; git merge b; git status; " +
        set));
    CHECK(repository.text().find("EOIE") != std::string::npos);
    CHECK(danger_of(repository.text()) == "");
  }
}

TEST_CASE("groups of entries are where git has put them") {
  for (const char* version : {"2", "4"}) {
    const Repository repository;
    REQUIRE(repository.run(
        "i=$(echo x | git hash-object -w --stdin); git config index.threads 4; git config "
        "index.recordEndOfIndexEntries true; git config index.recordOffsetTable true; for n in "
        "$(seq -w 60000); do echo \"100644 $i\tdirectory/of/files/$n\"; done | git update-index "
        "--index-info; git update-index --index-version 4; git update-index --index-version " +
        std::string(version)));
    CHECK(repository.text().find("IEOT") != std::string::npos);
    CHECK(danger_of(repository.text()) == "");
  }
}

TEST_CASE("other object ids, split and sparse indexes") {
  const Repository other("--object-format=sha256");
  REQUIRE(other.run("echo 1 > a; echo 2 > b; git add -A"));
  CHECK(danger_of(other.text(), kSha256Size) == "");
  CHECK(danger_of(other.text()) != "");

  const Repository split;
  REQUIRE(
      split.run("echo 1 > a; echo 1 > b; git add -A; git update-index --split-index; "
                "echo 2 > a; echo 3 > c; git add -A"));
  CHECK(split.text().find("link") != std::string::npos);
  CHECK(danger_of(split.text()) == "");
  CHECK(danger_of(split.text(), kSha1Size, true) != "");
  for (const auto& file : std::filesystem::directory_iterator(split.scratch.path + "/.git")) {
    const std::string name = file.path().filename();
    if (name.starts_with("sharedindex.")) CHECK(danger_of(split.text(name), kSha1Size, true) == "");
  }

  const Repository sparse;
  REQUIRE(
      sparse.run("mkdir -p d e/f; echo 1 > d/x; echo 1 > e/f/x; git add -A; git -c user.name=t -c "
                 "user.email=t commit -qm 1; git sparse-checkout set --cone --sparse-index d"));
  CHECK(sparse.text().find("sdir") != std::string::npos);
  CHECK(danger_of(sparse.text()) == "");
}

TEST_CASE("paths that lead out of the work tree") {
  CHECK(danger_of(Forged({{"a"}, {"a.b"}, {"a/b/c"}, {"...", kFile}, {".git2"}, {"git"}})) == "");
  for (const char* path : {"../victim/id_rsa",
                           "a/../../x",
                           "a/..",
                           ".",
                           "./a",
                           "a/./b",
                           "/etc/passwd",
                           "a//b",
                           "a/",
                           ".git/hooks/post-checkout",
                           "sub/.git",
                           "a/.GIT/config",
                           ".gIt",
                           ".git./x",
                           ".git /x",
                           ".git . ./x",
                           "git~1/hooks/x",
                           "GIT~1",
                           ".git::$INDEX_ALLOCATION/x",
                           ".git:x",
                           ".git\\x",
                           ".g\xe2\x80\x8cit/x",
                           "\xef\xbb\xbf.git"}) {
    CAPTURE(path);
    CHECK(danger_of(Forged({{"a0"}, {path}, {"zzz"}})) == std::string("the entry ") + path);
    CHECK(danger_of(Forged({{path}}, kSha256Size)) == std::string("the entry ") + path);
  }
  CHECK(danger_of(Forged({{"d/", kDirectory}})) == "");
  CHECK(danger_of(Forged({{"d//", kDirectory}})) != "");
  CHECK(danger_of(Forged({{"/", kDirectory}})) != "");
  CHECK(danger_of(Forged({{"d/", kFile}})) != "");
  CHECK(danger_of(Forged({{""}})) == "an entry without a path");
  const std::string link(kSha1Size, '\0');
  CHECK(danger_of(Forged({{""}}).add("link", link)) == "");
  CHECK(danger_of(Forged({{""}, {"../x"}}).add("link", link)) == "the entry ../x");
}

TEST_CASE("paths that go through a symlink or a submodule") {
  for (const std::uint32_t mode : {kSymlink, kSubmodule}) {
    CHECK(danger_of(Forged({{"a", mode}, {"a.x"}, {"ab"}})) == "");
    CHECK(danger_of(Forged({{"a", mode}, {"a.x"}, {"a/b"}})) == "the entry a/b");
    CHECK(danger_of(Forged({{"a/b", mode}, {"a/b/c/d"}})) == "the entry a/b/c/d");
    CHECK(danger_of(Forged({{"a/b"}, {"a", mode}})) == "the entry a/b");
  }
}

TEST_CASE("a path that is not where its length says") {
  Forged cut({{std::string("a\0../x", 6)}});
  CHECK(danger_of(cut).starts_with("no index that git writes: a path of another length"));
  Forged longer({{"abc"}});
  longer.body[longer.offsets[0] + 61] = 2;
  CHECK(danger_of(longer) != "");
  CHECK(danger_of(Forged({{std::string(5000, 'a')}})) == "");
  CHECK(danger_of(Forged({{std::string(5000, 'a') + "/../x"}})) != "");
  CHECK(danger_of(Forged({{std::string(20000, 'a')}})) != "");
}

TEST_CASE("what git with threads would read instead") {
  // Entries in what other gits take for the content of an extension.
  const Forged evil({{"../victim"}});
  const std::string entries = evil.body.substr(12);
  Forged hidden({{"a"}});
  hidden.add("XXXX", entries);
  const std::size_t at = hidden.end + 8;
  CHECK(danger_of(hidden) == "");
  CHECK(danger_of(Forged(hidden).add_end({{at, 1}})) ==
        "no index that git writes: IEOT leads elsewhere");
  CHECK(danger_of(Forged(hidden).add_end({{12, 1}})) == "");
  CHECK(danger_of(Forged(hidden).add_end({{12, 1}, {at, 1}})) != "");
  CHECK(danger_of(Forged(hidden).add_end({{12, 2}})) != "");
  CHECK(danger_of(Forged(hidden).add_end({{12, 1}}, at)) ==
        "no index that git writes: EOIE leads elsewhere");
  // The end of another extension.
  Forged within({{"a"}});
  within.add("XXXX", entries + "IEOT" + number(12) + number(1) + number(within.end + 8) +
                         number(1) + "EOIE" + number(24) + number(within.end + 8 + entries.size()) +
                         within.hash);
  CHECK(danger_of(within) != "");
  // In version 4 the first of a group has no path before it: "../x" and not "dir../x".
  std::string text = "DIRC" + number(4) + number(2);
  auto add = [&](char cut, const std::string& rest, std::size_t length) {
    text += std::string(24, '\0') + number(kFile) + std::string(12 + kSha1Size, '\0') +
            number(length, 2) + cut + rest + '\0';
  };
  add(0, "dir", 3);
  const std::size_t second = text.size();
  add(0, "../x", 7);
  const std::string hash(kSha1Size, '\0');
  CHECK(danger_of(text + hash) == "");
  const std::string end = "EOIE" + number(24) + number(text.size()) + hash + hash;
  CHECK(danger_of(text + "IEOT" + number(12) + number(1) + number(12) + number(2) + end) == "");
  CHECK(danger_of(text + "IEOT" + number(20) + number(1) + number(12) + number(1) + number(second) +
                  number(1) + end) == "no index that git writes: a path without a beginning");
}

TEST_CASE("what cannot be read whole is no index that git writes") {
  const std::string good = Forged({{"a"}, {"b"}}).text();
  CHECK(danger_of(good) == "");
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK(danger_of(good.substr(0, size)) != "");
  CHECK(danger_of(Forged({{"a"}}).add("abcd", "")) != "");
  CHECK(danger_of(Forged({{"a"}}).add("link", "x").text(), kSha1Size, true) != "");
  Forged other({{"a"}});
  other.body[7] = 5;
  CHECK(danger_of(other) != "");
  const IndexBytes huge{kMaxIndex + 1, {}};
  CHECK(find_index_danger(huge, kSha1Size, false) == "an index of more than 512 MiB");
}
